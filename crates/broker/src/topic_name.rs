//! Which names a topic may have.

pub(crate) const METADATA_TOPIC: &str = "__cluster_metadata";
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
pub(crate) const TRANSACTIONS_TOPIC: &str = "__transaction_state";
const INTERNAL_TOPICS: [&str; 3] = [OFFSETS_TOPIC, TRANSACTIONS_TOPIC, "__share_group_state"];
const MAX_NAME_LEN: usize = 249;

/// Topics of the brokers themselves: clients may read them and not write to them.
pub(crate) fn is_internal(name: &str) -> bool {
    INTERNAL_TOPICS.contains(&name)
}

/// Refuses names in Kafka's words.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let legal = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let why = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." => "'.' is not allowed".to_owned(),
        ".." => "'..' is not allowed".to_owned(),
        // Kafka counts UTF-16 units; a name that is legal at all is ASCII.
        _ if name.encode_utf16().count() > MAX_NAME_LEN => {
            format!("the length of '{name}' is longer than the max allowed length {MAX_NAME_LEN}")
        }
        _ if !name.chars().all(legal) => {
            format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
        }
        _ => return Ok(()),
    };
    Err(format!("Topic name is invalid: {why}"))
}

/// Names of metrics have `_` for `.`, so that two topics that differ only there would collide.
pub(crate) fn collides(name: &str, other: &str) -> bool {
    let unified = |letter: u8| if letter == b'.' { b'_' } else { letter };
    name.len() == other.len() && name.bytes().map(unified).eq(other.bytes().map(unified))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        for name in ["a", "a.b", "A_b-9", "__x", &"n".repeat(249)] {
            assert_eq!(check(name), Ok(()));
        }
        for (name, why) in [
            ("", "Topic name is invalid: the empty string is not allowed"),
            ("..", "Topic name is invalid: '..' is not allowed"),
            (
                "a b",
                "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
            ),
        ] {
            assert_eq!(check(name), Err(why.to_owned()));
        }
        assert!(check(&"n".repeat(250)).is_err());
    }

    #[test]
    fn a_dot_and_an_underscore_collide() {
        assert!(collides("a.b", "a_b"));
        assert!(!collides("a.b", "a-b"));
    }
}
