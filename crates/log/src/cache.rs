//! The bytes of one segment that are in memory.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Pieces of a segment by their positions: no two overlap, and none is empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cache {
    pieces: VecDeque<Piece>,
    bytes: u64,
    /// How many of the last pieces are small and have not been joined.
    small: usize,
}

#[derive(Clone, Debug)]
struct Piece {
    position: u64,
    bytes: Bytes,
    /// It was loaded, and not appended.
    is_loaded: bool,
}

impl Piece {
    fn end(&self) -> u64 {
        self.position + self.bytes.len() as u64
    }
}

/// Small appends are joined by and by: a slice costs as much to hand on as some kilobytes cost to copy.
const SMALL: usize = 4 * 1024;
const SMALL_PIECES: usize = 64;

impl Cache {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds what was appended to the segment at `position`.
    pub fn append(&mut self, position: u64, bytes: Bytes) {
        debug_assert!(self.pieces.back().is_none_or(|last| last.end() <= position));
        let adjoins = self.pieces.back().is_none_or(|last| last.end() == position);
        self.small = if bytes.len() >= SMALL {
            0
        } else if adjoins {
            self.small + 1
        } else {
            1
        };
        self.bytes += bytes.len() as u64;
        self.pieces.push_back(Piece { position, bytes, is_loaded: false });
        if self.small == SMALL_PIECES {
            self.join_small();
        }
    }

    fn join_small(&mut self) {
        let first = self.pieces.len() - self.small;
        let position = self.pieces[first].position;
        let len = self.pieces.range(first..).map(|piece| piece.bytes.len()).sum();
        let mut joined = BytesMut::with_capacity(len);
        self.pieces.drain(first..).for_each(|piece| joined.extend_from_slice(&piece.bytes));
        self.pieces.push_back(Piece { position, bytes: joined.freeze(), is_loaded: false });
        self.small = 0;
    }

    /// Adds what was loaded; what is there already stays.
    pub fn insert(&mut self, position: u64, bytes: &Bytes) {
        let end = position + bytes.len() as u64;
        let mut at = position;
        let mut next = self.first_ending_after(at);
        while at < end {
            match self.pieces.get(next) {
                Some(piece) if piece.position <= at => at = piece.end(),
                after => {
                    let gap_end = after.map_or(end, |piece| piece.position.min(end));
                    let missing = bytes.slice((at - position) as usize..(gap_end - position) as usize);
                    self.bytes += missing.len() as u64;
                    self.pieces.insert(next, Piece { position: at, bytes: missing, is_loaded: true });
                    at = gap_end;
                }
            }
            next += 1;
        }
        self.small = 0;
    }

    /// The bytes from `from` to `to`, or where the first that is missing lies.
    pub fn slices(&self, from: u64, to: u64) -> Result<Vec<Bytes>, u64> {
        let mut slices = Vec::new();
        let mut at = from;
        for piece in self.pieces.range(self.first_ending_after(from)..) {
            if at >= to || piece.position > at {
                break;
            }
            let stop = piece.end().min(to);
            slices.push(piece.bytes.slice((at - piece.position) as usize..(stop - piece.position) as usize));
            at = stop;
        }
        if at < to { Err(at) } else { Ok(slices) }
    }

    /// Copies `N` bytes from `position`, or says where the first that is missing lies.
    pub fn gather<const N: usize>(&self, position: u64) -> Result<[u8; N], u64> {
        let mut out = [0; N];
        let mut filled = 0;
        for piece in self.pieces.range(self.first_ending_after(position)..) {
            let at = position + filled as u64;
            if filled == N || piece.position > at {
                break;
            }
            let rest = &piece.bytes[(at - piece.position) as usize..];
            let taken = rest.len().min(N - filled);
            out[filled..filled + taken].copy_from_slice(&rest[..taken]);
            filled += taken;
        }
        if filled < N { Err(position + filled as u64) } else { Ok(out) }
    }

    /// Where the first byte from `from` to `to` lies that is missing.
    pub fn first_missing(&self, from: u64, to: u64) -> Option<u64> {
        let mut at = from;
        for piece in self.pieces.range(self.first_ending_after(from)..) {
            if at >= to || piece.position > at {
                break;
            }
            at = piece.end();
        }
        (at < to).then_some(at)
    }

    /// Where the next piece after a gap at `position` begins.
    pub fn gap_end(&self, position: u64) -> Option<u64> {
        self.pieces.get(self.first_ending_after(position)).map(|piece| piece.position)
    }

    pub fn truncate(&mut self, len: u64) {
        let keep = self.pieces.partition_point(|piece| piece.position < len);
        self.pieces.truncate(keep);
        if let Some(last) = self.pieces.back_mut().filter(|last| last.end() > len) {
            last.bytes.truncate((len - last.position) as usize);
        }
        self.bytes = self.pieces.iter().map(|piece| piece.bytes.len() as u64).sum();
        self.small = 0;
    }

    /// Drops the first piece if it ends at or before `limit`; says how much that freed.
    pub fn evict_first(&mut self, limit: u64) -> Option<u64> {
        let freed = self.pieces.front().filter(|first| first.end() <= limit)?.bytes.len() as u64;
        self.pieces.pop_front();
        self.small = self.small.min(self.pieces.len());
        self.bytes -= freed;
        Some(freed)
    }

    /// Drops the pieces from `from` to `to` that were loaded.
    pub fn drop_loaded(&mut self, from: u64, to: u64) {
        let mut index = self.first_ending_after(from);
        while let Some(piece) = self.pieces.get(index).filter(|piece| piece.position < to) {
            if piece.is_loaded {
                self.bytes -= piece.bytes.len() as u64;
                self.pieces.remove(index);
            } else {
                index += 1;
            }
        }
    }

    fn first_ending_after(&self, position: u64) -> usize {
        self.pieces.partition_point(|piece| piece.end() <= position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(len: usize) -> Bytes {
        (0..len).map(|n| (n % 251) as u8).collect()
    }

    fn joined(slices: Result<Vec<Bytes>, u64>) -> Result<Vec<u8>, u64> {
        slices.map(|slices| slices.concat())
    }

    #[test]
    fn what_is_there_is_found_and_what_is_not_is_named() {
        let file = file(1000);
        let mut cache = Cache::default();
        cache.insert(100, &file.slice(100..200));
        cache.insert(300, &file.slice(300..400));
        assert_eq!(joined(cache.slices(120, 180)), Ok(file[120..180].to_vec()));
        assert_eq!(joined(cache.slices(90, 180)), Err(90));
        assert_eq!(joined(cache.slices(150, 350)), Err(200));
        assert_eq!(cache.gap_end(200), Some(300));
        assert_eq!(cache.gather::<61>(170), Err(200));
        cache.insert(50, &file.slice(50..450));
        assert_eq!(cache.bytes(), 400);
        assert_eq!(joined(cache.slices(50, 450)), Ok(file[50..450].to_vec()));
        assert_eq!(cache.gather::<61>(170).unwrap(), file[170..231]);
        cache.truncate(310);
        assert_eq!(cache.bytes(), 260);
        assert_eq!(joined(cache.slices(300, 311)), Err(310));
        assert_eq!(cache.evict_first(60), None);
        assert_eq!(cache.evict_first(100), Some(50));
        assert_eq!(joined(cache.slices(99, 110)), Err(99));
    }

    #[test]
    fn what_was_loaded_can_be_dropped_and_what_was_appended_stays() {
        let file = file(1000);
        let mut cache = Cache::default();
        cache.append(600, file.slice(600..700));
        cache.insert(500, &file.slice(500..1000));
        cache.insert(200, &file.slice(200..300));
        assert_eq!(cache.first_missing(200, 1000), Some(300));
        assert_eq!(cache.first_missing(520, 1000), None);
        cache.drop_loaded(550, 1000);
        assert_eq!(joined(cache.slices(600, 700)), Ok(file[600..700].to_vec()));
        assert_eq!((cache.bytes(), cache.first_missing(600, 1000)), (200, Some(700)));
        assert_eq!(joined(cache.slices(200, 300)), Ok(file[200..300].to_vec()));
    }

    #[test]
    fn small_appends_are_joined() {
        let file = file(10_000);
        let mut cache = Cache::default();
        for at in (0..file.len()).step_by(10) {
            cache.append(at as u64, file.slice(at..at + 10));
        }
        assert_eq!(joined(cache.slices(0, 10_000)), Ok(file.to_vec()));
        assert!(cache.pieces.len() < 1000 / SMALL_PIECES + SMALL_PIECES);
    }
}
