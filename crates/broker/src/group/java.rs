//! What Kafka inherits from Java and every client relies on.

/// `String.hashCode`: over UTF-16 code units, wrapping.
pub fn string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The partition of an internal topic that holds `key` (a group or a transactional id).
pub fn partition_for(key: &str, partitions: i32) -> i32 {
    // Kafka's `Utils.abs` maps the smallest integer, which has no absolute value, to 0.
    string_hash(key).checked_abs().unwrap_or(0) % partitions.max(1)
}

/// Where `HashMap` iterates over `text` before others, in a table for `size` entries. Entries of one
/// bucket come in the order they were added.
pub fn hash_map_bucket(text: &str, size: usize) -> u32 {
    let buckets = (size as u32).saturating_mul(4).div_ceil(3).next_power_of_two().max(16);
    let hash = string_hash(text) as u32;
    (hash ^ (hash >> 16)) & (buckets - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_lives_where_java_hashes_it() {
        // Values of `"...".hashCode()` and of `Utils.abs(hash) % 50` on a Java 17 machine.
        let cases = [
            ("", 0, 0),
            ("my-app3", 1_462_340_019, 19),
            ("group_1", 293_428_849, 49),
            ("polygenelubricants", i32::MIN, 0),
            ("größe", 98_762_257, 7),
            ("\u{1f980}", 1_772_802, 2),
        ];
        for (group, hash, partition) in cases {
            assert_eq!((string_hash(group), partition_for(group, 50)), (hash, partition), "{group}");
        }
    }
}
