//! A partition as a tape: its newest batches side by side, the newest at the right end.

use crate::model::{Batch, Partition};

/// A batch on the tape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    pub batch: Batch,
    /// Left edge and width, in pixels from the left end of the shown part.
    pub x: f64,
    pub width: f64,
    /// Consumers may read it: it lies below the high watermark.
    pub visible: bool,
}

/// The part of a tape that fits. `shift` is how far it moves when it slides to the newest batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tape {
    pub blocks: Vec<Block>,
    pub width: f64,
    /// Batches exist to the left of what is shown.
    pub more: bool,
}

const GAP: f64 = 3.0;
const NARROWEST: f64 = 26.0;
const WIDEST: f64 = 132.0;

/// Wide enough for the offset in it, and growing with its records, ever more slowly.
fn block_width(batch: &Batch) -> f64 {
    let digits = f64::from(batch.base_offset.max(1).ilog10() + 1);
    let records = f64::from(batch.records.max(1));
    (records.sqrt() * 18.0 + 8.0).clamp(NARROWEST.max(digits * 7.2 + 12.0), WIDEST)
}

pub fn lay_out(partition: &Partition, room: f64) -> Tape {
    let mut width = 0.0;
    let mut first = partition.batches.len();
    while first > 0 {
        let next = block_width(&partition.batches[first - 1]) + if width > 0.0 { GAP } else { 0.0 };
        if width + next > room && width > 0.0 {
            break;
        }
        width += next;
        first -= 1;
    }
    let mut x = 0.0;
    let mut blocks = Vec::with_capacity(partition.batches.len() - first);
    for batch in &partition.batches[first..] {
        let width = block_width(batch);
        blocks.push(Block { batch: *batch, x, width, visible: batch.last_offset < partition.high_watermark });
        x += width + GAP;
    }
    let oldest = partition.batches.get(first).map_or(partition.log_end, |batch| batch.base_offset);
    Tape { blocks, width, more: oldest > partition.log_start }
}

impl Tape {
    /// Where an offset lies between the batches: a position stands before the record it will read.
    pub fn x_of(&self, offset: i64) -> f64 {
        for block in &self.blocks {
            if offset <= block.batch.base_offset {
                return (block.x - GAP / 2.0).max(0.0);
            }
            if offset <= block.batch.last_offset {
                let records = (block.batch.last_offset - block.batch.base_offset + 1) as f64;
                return block.x + block.width * (offset - block.batch.base_offset) as f64 / records;
            }
        }
        self.width
    }

    pub fn oldest_offset(&self) -> Option<i64> {
        self.blocks.first().map(|block| block.batch.base_offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(batches: &[(i64, i64)], high_watermark: i64) -> Partition {
        let batches: Vec<_> = batches
            .iter()
            .map(|&(base_offset, last_offset)| Batch {
                base_offset,
                last_offset,
                records: (last_offset - base_offset + 1) as u32,
                bytes: 100,
                ..Batch::default()
            })
            .collect();
        let log_end = batches.last().map_or(0, |batch| batch.last_offset + 1);
        Partition { high_watermark, log_end, batches, ..Partition::default() }
    }

    #[test]
    fn the_newest_batches_that_fit_are_shown() {
        let tape = lay_out(&partition(&[(0, 0), (1, 1), (2, 2), (3, 3)], 3), 60.0);
        let shown: Vec<_> = tape.blocks.iter().map(|block| (block.batch.base_offset, block.visible)).collect();
        assert_eq!(shown, [(2, true), (3, false)]);
        assert!(tape.more && tape.width <= 60.0);
        let all = lay_out(&partition(&[(0, 0)], 1), 10.0);
        assert!(all.blocks.len() == 1 && !all.more, "the newest is there even where it does not fit");
    }

    #[test]
    fn an_offset_lies_inside_its_batch() {
        let tape = lay_out(&partition(&[(0, 3), (4, 7)], 8), 500.0);
        let (first, second) = (tape.blocks[0], tape.blocks[1]);
        assert_eq!(tape.x_of(0), 0.0);
        assert_eq!(tape.x_of(2), first.width / 2.0);
        assert!(tape.x_of(4) > first.width && tape.x_of(4) < second.x);
        assert_eq!(tape.x_of(8), tape.width);
        assert_eq!(Tape::default().x_of(5), 0.0);
    }
}
