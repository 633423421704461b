//! The IndexedDB store in a real browser: the seam's suite, and what only this backend promises.
#![cfg(target_arch = "wasm32")]

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use rexie::{Rexie, TransactionMode};
use shore_log::storage::{FileEntry, ReadRange, StoreError, StoreOp, StoreReply, StoreRequest, Token};
use shore_log::suite::{Step, cases, check};
use shore_web::store::{IdbStore, OpenError};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[wasm_bindgen_test]
async fn every_case_of_the_suite_passes() {
    for case in cases() {
        let name = fresh_name();
        let mut store = open(&name).await;
        for step in &case.steps {
            match step {
                Step::Ask { request, expected } => {
                    let replies = store.carry_out(vec![request.clone()]).await;
                    assert_eq!(check(&case, request, expected, &replies[0]), Ok(()));
                }
                Step::Reopen => {
                    store.close();
                    store = open(&name).await;
                }
            }
        }
        store.close();
        IdbStore::delete(&name).await.expect("a closed store can be deleted");
    }
}

#[wasm_bindgen_test]
async fn requests_of_one_turn_are_answered_in_order_and_a_load_sees_the_stores_before_it() {
    let mut store = open(&fresh_name()).await;
    let replies =
        store.carry_out(vec![append(1, 0, "one"), append(2, 3, "two"), load(3), append(4, 6, "three"), load(5)]).await;
    let texts: Vec<_> = replies.iter().map(shore_log::suite::reply_text).collect();
    assert_eq!(texts.len(), 5);
    assert_eq!(loaded(&replies[2]), "onetwo");
    assert_eq!(loaded(&replies[4]), "onetwothree");
}

#[wasm_bindgen_test]
async fn small_appends_are_merged_and_nothing_is_lost() {
    let name = fresh_name();
    let mut store = open(&name).await;
    let mut expected = String::new();
    for turn in 0..300_u64 {
        let text = format!("{turn};");
        let position = expected.len() as u64;
        expected.push_str(&text);
        let op = StoreOp::Append { file: "n1/log".into(), position, bytes: Bytes::from(text) };
        let replies = store.carry_out(vec![StoreRequest::Store { token: Token(turn), ops: vec![op] }]).await;
        assert_eq!(replies, [StoreReply::Stored { token: Token(turn), result: Ok(()) }]);
    }
    assert_eq!(loaded(&store.carry_out(vec![load(1)]).await[0]), expected);
    store.close();
    let chunks = count_chunks(&name).await;
    assert!(chunks < 100, "{chunks} chunks are left of 300 appends");
    let mut store = open(&name).await;
    assert_eq!(loaded(&store.carry_out(vec![load(1)]).await[0]), expected);
}

#[wasm_bindgen_test]
async fn a_stale_owner_cannot_write() {
    let name = fresh_name();
    let mut stale = open(&name).await;
    stale.carry_out(vec![append(1, 0, "before")]).await;
    let mut owner = open(&name).await;
    let replies = stale.carry_out(vec![append(2, 6, "after")]).await;
    assert!(matches!(&replies[0], StoreReply::Stored { result: Err(StoreError::Failed(_)), .. }), "{replies:?}");
    assert_eq!(loaded(&owner.carry_out(vec![load(3)]).await[0]), "before");
}

#[wasm_bindgen_test]
async fn a_refused_append_takes_nothing_else_down() {
    let mut store = open(&fresh_name()).await;
    let replies = store.carry_out(vec![append(1, 0, "a"), append(2, 9, "gap"), append(3, 1, "b")]).await;
    let results: Vec<_> =
        replies.iter().map(|reply| matches!(reply, StoreReply::Stored { result: Ok(()), .. })).collect();
    assert_eq!(results, [true, false, true]);
    assert_eq!(loaded(&store.carry_out(vec![load(4)]).await[0]), "ab");
}

#[wasm_bindgen_test]
async fn a_newer_store_is_refused_in_words_and_left_alone() {
    let name = fresh_name();
    let mut store = open(&name).await;
    store.carry_out(vec![append(1, 0, "precious")]).await;
    store.close();
    let raw = Rexie::builder(&name).version(1).build().await.unwrap();
    let transaction = raw.transaction(&["meta"], TransactionMode::ReadWrite).unwrap();
    transaction.store("meta").unwrap().put(&99.into(), Some(&"format".into())).await.unwrap();
    transaction.done().await.unwrap();
    raw.close();
    let refused = IdbStore::open(&name).await.err().expect("refused");
    assert_eq!(refused, OpenError::Newer { found: 99 });
    assert!(refused.to_string().contains("newer version"), "{refused}");
    assert_eq!(count_chunks(&name).await, 1);
}

#[wasm_bindgen_test]
async fn notes_are_kept_beside_the_files() {
    let name = fresh_name();
    let store = open(&name).await;
    assert_eq!(store.get_note("clients").await, Ok(None));
    store.put_note("clients", b"two of them").await.unwrap();
    store.close();
    let mut store = open(&name).await;
    assert_eq!(store.get_note("clients").await, Ok(Some(b"two of them".to_vec())));
    let list = StoreRequest::List { token: Token(1), directory: "n1".into() };
    let listed = store.carry_out(vec![list]).await;
    assert_eq!(listed, [StoreReply::Listed { token: Token(1), result: Ok(Vec::<FileEntry>::new()) }]);
}

async fn open(name: &str) -> IdbStore {
    IdbStore::open(name).await.expect("opens")
}

fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test {} {}", js_sys::Date::now(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn append(token: u64, position: u64, text: &'static str) -> StoreRequest {
    let op = StoreOp::Append { file: "n1/log".into(), position, bytes: Bytes::from_static(text.as_bytes()) };
    StoreRequest::Store { token: Token(token), ops: vec![op] }
}

fn load(token: u64) -> StoreRequest {
    let whole = ReadRange { file: "n1/log".into(), position: 0, len: u64::MAX };
    StoreRequest::Load { token: Token(token), reads: vec![whole] }
}

fn loaded(reply: &StoreReply) -> String {
    match reply {
        StoreReply::Loaded { result: Ok(parts), .. } => String::from_utf8(parts.concat()).unwrap(),
        other => panic!("not loaded: {other:?}"),
    }
}

async fn count_chunks(name: &str) -> u32 {
    let raw = Rexie::builder(name).version(1).build().await.unwrap();
    let transaction = raw.transaction(&["chunks"], TransactionMode::ReadOnly).unwrap();
    let count = transaction.store("chunks").unwrap().count(None).await.unwrap();
    raw.close();
    count
}
