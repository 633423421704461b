//! Every record of the internal logs as Apache Kafka's own classes write it (tests/wire/records, by Messages.java).

use bytes::Bytes;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_wire::records::group::GroupRecord;
use shore_wire::records::metadata::MetadataRecord;
use shore_wire::records::transaction::TransactionRecord;

use crate::vectors::{Content, named_values, vectors};

/// The records of the metadata log that a node of this project never meets: those of security and of the time
/// of ZooKeeper.
const FOREIGN: [&str; 9] = [
    "FenceBrokerRecord",
    "UnfenceBrokerRecord",
    "DelegationTokenRecord",
    "UserScramCredentialRecord",
    "AccessControlEntryRecord",
    "RemoveAccessControlEntryRecord",
    "ZkMigrationStateRecord",
    "RemoveUserScramCredentialRecord",
    "RemoveDelegationTokenRecord",
];

/// What is not kept of a record, and so not written again.
const NOT_KEPT: [(&str, &str); 4] = [
    ("ClientQuotaRecord", "the value of a quota that is removed"),
    ("RegisterBrokerRecord", "whether it migrates from ZooKeeper, directories that are cordoned"),
    ("RegisterControllerRecord", "whether it is ready for a migration from ZooKeeper"),
    ("BrokerRegistrationChangeRecord", "directories that come and go"),
];

#[test]
fn records_of_the_metadata_log_are_read_and_written_as_by_apache_kafka() {
    let (mut written, mut fields, mut foreign) = (0, 0, BTreeSet::new());
    for (file, name) in files(|name| name.ends_with("Record") && !NO_METADATA.contains(&name)) {
        let key: u32 = file[..2].parse().expect("a key");
        for ((version, _, content), bytes) in vectors(&format!("records/{file}")) {
            let place = format!("{name} v{version} {content:?}");
            let value = [&[1], &[key as u8], &[version as u8], &*bytes].concat();
            let Ok(record) = MetadataRecord::decode(&value) else {
                foreign.insert(name.clone());
                continue;
            };
            assert!((0..value.len()).all(|end| MetadataRecord::decode(&value[..end]).is_err()), "{place} cut short");
            let again = record.encode();
            assert_eq!(MetadataRecord::decode(&again).as_ref(), Ok(&record), "{place}");
            if content != Content::Default {
                fields += named_values(&format!("{record:?}"), &place);
            }
            let is_kept = content == Content::Default || !NOT_KEPT.iter().any(|(lossy, _)| *lossy == name);
            if again[2] == version as u8 && is_kept {
                assert_eq!(again, value, "{place}");
                written += 1;
            }
        }
    }
    assert!(foreign.iter().all(|name| FOREIGN.contains(&&**name)), "{foreign:?}");
    assert!(written >= 20 && fields >= 100, "{written} records written, {fields} fields");
}

/// Control records and the like: they are no values of the metadata log's data batches.
const NO_METADATA: [&str; 4] = ["KRaftVersionRecord", "SnapshotFooterRecord", "SnapshotHeaderRecord", "VotersRecord"];

/// A record is a key and a value; of these two one is looked at, and written again in its own version.
#[test]
fn records_of_groups_are_read_and_written_as_by_apache_kafka() {
    let decode = |key: &[u8], value: Option<&[u8]>| GroupRecord::decode(key, value).expect("it is read");
    let encode = |record: &GroupRecord| record.encode().expect("it is short");
    let commits = compare(1, "OffsetCommit", &[1, 4], decode, encode);
    let groups = compare(2, "GroupMetadata", &[3], decode, encode);
    assert_eq!((commits, groups), ((3, 4), (3, 4)), "values written, versions only read");
}

#[test]
fn records_of_transactions_are_read_and_written_as_by_apache_kafka() {
    let decode = |key: &[u8], value: Option<&[u8]>| TransactionRecord::decode(key, value).expect("it is read");
    let encode = |record: &TransactionRecord| record.encode().expect("it is short");
    assert_eq!(compare(0, "TransactionLog", &[1], decode, encode), (3, 1), "values written, versions only read");
}

/// How many values were written again, and how many versions there are that are only read.
fn compare<R: PartialEq + std::fmt::Debug>(
    record_type: i16,
    name: &str,
    own_versions: &[i16],
    decode: impl Fn(&[u8], Option<&[u8]>) -> R,
    encode: impl Fn(&R) -> (Bytes, Option<Bytes>),
) -> (usize, usize) {
    let keys = vectors(&format!("records/{record_type:02}-{name}Key.hex"));
    let values = vectors(&format!("records/{record_type:02}-{name}Value.hex"));
    let key = keys.iter().find(|((.., content), _)| *content == Content::Filled).expect("a key").1;
    let key = [&record_type.to_be_bytes(), &**key].concat();
    let tombstone = decode(&key, None);
    assert_eq!(encode(&tombstone), (key.clone().into(), None), "{name}: a tombstone");
    assert!(named_values(&format!("{tombstone:?}"), name) >= 1, "{tombstone:?}");

    let (mut written, mut read) = (0, BTreeMap::new());
    for ((version, _, content), bytes) in values {
        let place = format!("{name} v{version} {content:?}");
        let value = [&version.to_be_bytes(), &*bytes].concat();
        let record = decode(&key, Some(&value));
        let named = named_values(&format!("{record:?}"), &place);
        assert!(content == Content::Default || named >= 4, "{place}: {record:?}");
        let (again_key, again) = encode(&record);
        let again = again.expect("a value");
        assert_eq!(again_key, key, "{place}");
        if again[..2] == value[..2] {
            assert_eq!(again, value, "{place}");
            assert!(own_versions.contains(&version), "{place}");
            written += 1;
        } else {
            read.insert(version, ());
        }
    }
    (written, read.len())
}

/// The files of records whose names, without key and suffix, are wanted.
fn files(wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire/records");
    let entries = std::fs::read_dir(folder).expect("the folder of records");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let mut files: Vec<(String, String)> = names
        .filter_map(|file| {
            let name = file.strip_suffix(".hex")?;
            let name = name.split_once('-').map_or(name, |(_, name)| name).to_owned();
            wanted(&name).then_some((file, name))
        })
        .collect();
    files.sort();
    assert!(files.len() >= 20, "{files:?}");
    files
}
