//! What a host tells the cluster at a turn. Integers are little-endian; js/src/core.ts writes this.

use bytes::{Buf, Bytes};
use shore_base::NodeId;
use shore_log::storage::{FileEntry, FileName, StoreError, StoreReply, Token};

/// One thing that happened. Connections are numbered by the host.
#[derive(Debug, PartialEq)]
pub enum Input {
    Connect {
        connection: u32,
        peer: String,
    },
    /// Bytes of a connection's stream, cut anywhere.
    Data {
        connection: u32,
        bytes: Bytes,
    },
    Disconnect {
        connection: u32,
    },
    Store {
        node: NodeId,
        reply: StoreReply,
    },
    Stop,
}

/// The next input, or `None` at the end of the buffer.
pub fn next(reader: &mut Reader) -> Result<Option<Input>, String> {
    if !reader.0.has_remaining() {
        return Ok(None);
    }
    Ok(Some(match reader.u8()? {
        1 => Input::Connect { connection: reader.u32()?, peer: reader.string()? },
        2 => Input::Data { connection: reader.u32()?, bytes: reader.bytes()? },
        3 => Input::Disconnect { connection: reader.u32()? },
        kind @ 4..=6 => Input::Store { node: NodeId(reader.u32()? as i32), reply: store_reply(kind, reader)? },
        7 => Input::Stop,
        kind => return Err(format!("there is no input {kind}")),
    }))
}

fn store_reply(kind: u8, reader: &mut Reader) -> Result<StoreReply, String> {
    let token = Token(reader.u64()?);
    let failure = match reader.u8()? {
        0 => None,
        1 => Some(StoreError::Full(reader.string()?)),
        2 => Some(StoreError::NotFound(FileName::new(reader.string()?))),
        _ => Some(StoreError::Failed(reader.string()?)),
    };
    Ok(match (kind, failure) {
        (4, failure) => StoreReply::Stored { token, result: failure.map_or(Ok(()), Err) },
        (5, Some(failure)) => StoreReply::Loaded { token, result: Err(failure) },
        (5, None) => {
            let count = reader.u32()?;
            StoreReply::Loaded { token, result: Ok((0..count).map(|_| reader.bytes()).collect::<Result<_, _>>()?) }
        }
        (_, Some(failure)) => StoreReply::Listed { token, result: Err(failure) },
        (_, None) => {
            let count = reader.u32()?;
            let entry = |_| Ok(FileEntry { file: FileName::new(reader.string()?), len: reader.u64()? });
            StoreReply::Listed { token, result: Ok((0..count).map(entry).collect::<Result<_, String>>()?) }
        }
    })
}

/// Reads a buffer of the host without copying it.
pub struct Reader(Bytes);

impl Reader {
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub fn u8(&mut self) -> Result<u8, String> {
        self.0.try_get_u8().map_err(|_| CUT_SHORT.to_owned())
    }

    pub fn u32(&mut self) -> Result<u32, String> {
        self.0.try_get_u32_le().map_err(|_| CUT_SHORT.to_owned())
    }

    pub fn u64(&mut self) -> Result<u64, String> {
        self.0.try_get_u64_le().map_err(|_| CUT_SHORT.to_owned())
    }

    pub fn bytes(&mut self) -> Result<Bytes, String> {
        let len = self.u32()? as usize;
        if len > self.0.len() { Err(CUT_SHORT.to_owned()) } else { Ok(self.0.split_to(len)) }
    }

    pub fn string(&mut self) -> Result<String, String> {
        String::from_utf8(self.bytes()?.into()).map_err(|_| "a string is not UTF-8".to_owned())
    }
}

const CUT_SHORT: &str = "the buffer of the host is cut short";

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each, as a host writes them.
    fn one_of_each() -> Vec<u8> {
        let mut out = vec![1, 7, 0, 0, 0, 4, 0, 0, 0];
        out.extend(b"peer");
        out.extend([2, 7, 0, 0, 0, 2, 0, 0, 0, 0xaa, 0xbb]);
        out.extend([3, 7, 0, 0, 0]);
        let reply = |kind: u8, token: u64, rest: &[u8]| {
            let mut out = vec![kind, 1, 0, 0, 0];
            out.extend(token.to_le_bytes());
            out.extend(rest);
            out
        };
        out.extend(reply(4, 1, &[0]));
        out.extend(reply(4, 2, &[1, 1, 0, 0, 0, b'f']));
        out.extend(reply(5, 3, &[0, 2, 0, 0, 0, 1, 0, 0, 0, 0xcc, 0, 0, 0, 0]));
        out.extend(reply(6, 4, &[0, 1, 0, 0, 0, 1, 0, 0, 0, b'n', 9, 0, 0, 0, 0, 0, 0, 0]));
        out.push(7);
        out
    }

    fn read_all(bytes: Vec<u8>) -> Result<Vec<Input>, String> {
        let mut reader = Reader::new(bytes.into());
        let mut inputs = Vec::new();
        while let Some(input) = next(&mut reader)? {
            inputs.push(input);
        }
        Ok(inputs)
    }

    #[test]
    fn every_input_is_read_as_it_was_written() {
        let inputs = read_all(one_of_each()).expect("it is whole");
        let expected = [
            Input::Connect { connection: 7, peer: "peer".into() },
            Input::Data { connection: 7, bytes: Bytes::from_static(&[0xaa, 0xbb]) },
            Input::Disconnect { connection: 7 },
            Input::Store { node: NodeId(1), reply: StoreReply::Stored { token: Token(1), result: Ok(()) } },
            Input::Store {
                node: NodeId(1),
                reply: StoreReply::Stored { token: Token(2), result: Err(StoreError::Full("f".into())) },
            },
            Input::Store {
                node: NodeId(1),
                reply: StoreReply::Loaded {
                    token: Token(3),
                    result: Ok(vec![Bytes::from_static(&[0xcc]), Bytes::new()]),
                },
            },
            Input::Store {
                node: NodeId(1),
                reply: StoreReply::Listed { token: Token(4), result: Ok(vec![FileEntry { file: "n".into(), len: 9 }]) },
            },
            Input::Stop,
        ];
        assert_eq!(inputs, expected);
    }

    #[test]
    fn a_buffer_cut_anywhere_is_an_error_or_ends_between_two_inputs() {
        let whole = one_of_each();
        let mut ends = 0;
        for cut in 0..whole.len() {
            match read_all(whole[..cut].to_vec()) {
                Ok(inputs) => ends = inputs.len(),
                Err(why) => assert_eq!(why, CUT_SHORT),
            }
        }
        assert_eq!(ends, 7);
    }
}
