//! A store as one file that everybody can unpack: the ustar format, one regular file per entry.

const BLOCK: usize = 512;

/// An archive of these files.
pub fn archive<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, bytes) in files {
        archive.extend_from_slice(&header(name, bytes.len()));
        archive.extend_from_slice(bytes);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

fn header(name: &str, len: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    // A long name is cut at a slash into a prefix and the rest.
    let cut = if name.len() <= 100 { 0 } else { name[..name.len().min(155)].rfind('/').map_or(0, |slash| slash + 1) };
    put(&mut header, 0, 100, &name[cut..]);
    put(&mut header, 100, 8, "0000644");
    put(&mut header, 108, 8, "0000000");
    put(&mut header, 116, 8, "0000000");
    put(&mut header, 124, 12, &format!("{len:011o}"));
    put(&mut header, 136, 12, "00000000000");
    header[156] = b'0';
    put(&mut header, 257, 8, "ustar\x0000");
    put(&mut header, 345, 155, name[..cut].trim_end_matches('/'));
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    put(&mut header, 148, 8, &format!("{sum:06o}\0 "));
    header
}

fn put(header: &mut [u8; BLOCK], at: usize, room: usize, text: &str) {
    let len = text.len().min(room);
    header[at..at + len].copy_from_slice(&text.as_bytes()[..len]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_whole_blocks_with_checked_headers() {
        let archive = archive([("n1/d0/orders-0/00000000000000000000.log", &b"hello"[..])]);
        assert_eq!(archive.len(), 4 * BLOCK);
        assert!(archive.starts_with(b"n1/d0/orders-0/00000000000000000000.log\0"));
        assert_eq!(&archive[124..136], b"00000000005\0");
        assert_eq!(&archive[257..265], b"ustar\x0000");
        assert_eq!(&archive[BLOCK..BLOCK + 5], b"hello");
        let mut summed = archive[..BLOCK].to_vec();
        summed[148..156].fill(b' ');
        let sum: u32 = summed.iter().map(|&byte| u32::from(byte)).sum();
        assert_eq!(&archive[148..154], format!("{sum:06o}").as_bytes());
    }
}
