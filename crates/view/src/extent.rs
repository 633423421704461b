//! A whole log as one bar: its segments by their bytes, and where an offset lies among them.

use crate::message::SegmentDetails;
use crate::model::Cleaning;

/// A segment on the bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    pub base_offset: i64,
    pub end_offset: i64,
    pub x: f64,
    pub width: f64,
    pub look: Look,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Of a log that is not compacted.
    Whole,
    /// The cleaner has been here.
    Clean,
    /// It is next for the cleaner.
    Dirty,
    /// The cleaner leaves it alone so far: too young, or of an open transaction.
    Waiting,
    /// What is appended goes here.
    Active,
}

impl Look {
    /// For a class name.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Clean => "clean",
            Self::Dirty => "dirty",
            Self::Waiting => "waiting",
            Self::Active => "active",
        }
    }

    pub const fn label(self) -> &'static str {
        match self {
            Self::Whole => "closed segment",
            Self::Clean => "clean: one record per key",
            Self::Dirty => "dirty: the cleaner\u{2019}s next work",
            Self::Waiting => "not to be cleaned yet",
            Self::Active => "active segment",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extent {
    pub pieces: Vec<Piece>,
    pub width: f64,
}

const GAP: f64 = 2.0;
/// A segment is never narrower, while there is room for that.
const NARROWEST: f64 = 7.0;

pub fn lay_out(segments: &[SegmentDetails], cleaning: Option<&Cleaning>, width: f64) -> Extent {
    let count = segments.len().max(1) as f64;
    let gap = if count * (NARROWEST + GAP) > width { 0.0 } else { GAP };
    let narrowest = NARROWEST.min((width - gap * (count - 1.0)) / count);
    let spare = width - gap * (count - 1.0) - narrowest * count;
    let total = segments.iter().map(|segment| segment.bytes).sum::<u64>().max(1) as f64;
    let mut x = 0.0;
    let mut pieces = Vec::with_capacity(segments.len());
    for segment in segments {
        let width = narrowest + spare * segment.bytes as f64 / total;
        let look = match cleaning {
            _ if segment.active => Look::Active,
            None => Look::Whole,
            Some(cleaning) if segment.base_offset < cleaning.first_dirty => Look::Clean,
            Some(cleaning) if segment.base_offset < cleaning.first_uncleanable => Look::Dirty,
            Some(_) => Look::Waiting,
        };
        pieces.push(Piece { base_offset: segment.base_offset, end_offset: segment.end_offset, x, width, look });
        x += width + gap;
    }
    Extent { pieces, width }
}

impl Extent {
    pub fn x_of(&self, offset: i64) -> f64 {
        let Some(piece) = self.pieces.iter().rev().find(|piece| piece.base_offset <= offset) else { return 0.0 };
        let records = (piece.end_offset - piece.base_offset).max(1) as f64;
        piece.x + piece.width * ((offset - piece.base_offset) as f64 / records).min(1.0)
    }

    /// The looks that there are, in their order along the log.
    pub fn looks(&self) -> Vec<Look> {
        let all = [Look::Whole, Look::Clean, Look::Dirty, Look::Waiting, Look::Active];
        all.into_iter().filter(|look| self.pieces.iter().any(|piece| piece.look == *look)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(bytes: &[u64]) -> Vec<SegmentDetails> {
        let bytes_count = bytes.len();
        let segment = |(place, &bytes): (usize, &u64)| SegmentDetails {
            base_offset: place as i64 * 100,
            end_offset: place as i64 * 100 + 100,
            bytes,
            active: place + 1 == bytes_count,
            ..SegmentDetails::default()
        };
        bytes.iter().enumerate().map(segment).collect()
    }

    #[test]
    fn segments_fill_the_bar_by_their_bytes() {
        let extent = lay_out(&segments(&[1_000, 3_000, 0]), None, 300.0);
        let looks: Vec<_> = extent.pieces.iter().map(|piece| piece.look).collect();
        assert_eq!(looks, [Look::Whole, Look::Whole, Look::Active]);
        assert!(extent.pieces[1].width > 2.0 * extent.pieces[0].width && extent.pieces[2].width == NARROWEST);
        let last = extent.pieces[2];
        assert!((last.x + last.width - 300.0).abs() < 0.01);
        assert_eq!((extent.x_of(0), extent.x_of(300)), (0.0, last.x + last.width));
        assert_eq!(extent.x_of(150), extent.pieces[1].x + extent.pieces[1].width / 2.0);
    }

    #[test]
    fn a_compacted_log_shows_what_is_clean() {
        let cleaning = Cleaning { first_dirty: 100, first_uncleanable: 200, ..Cleaning::default() };
        let extent = lay_out(&segments(&[10, 10, 10, 10]), Some(&cleaning), 300.0);
        let looks: Vec<_> = extent.pieces.iter().map(|piece| piece.look).collect();
        assert_eq!(looks, [Look::Clean, Look::Dirty, Look::Waiting, Look::Active]);
        assert_eq!(extent.looks(), looks);
    }

    #[test]
    fn a_thousand_segments_still_fit() {
        let extent = lay_out(&segments(&[5; 1_000]), None, 300.0);
        let last = extent.pieces[999];
        assert!((last.x + last.width - 300.0).abs() < 0.01 && last.width > 0.0);
        assert_eq!(lay_out(&[], None, 300.0).x_of(5), 0.0);
    }
}
