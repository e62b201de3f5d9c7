use std::{collections::BTreeMap, thread};

use proptest::prelude::*;

use super::*;

fn set(store: &Store, key: &str, value: &[u8]) -> Result<(), Refusal> {
    let (key, value) = (key.to_owned(), value.to_vec());
    store.apply(StoreSet { key, value })
}

fn get(store: &Store, key: &str) -> Option<Vec<u8>> {
    let key = key.to_owned();
    store.apply(StoreGet { key }).unwrap()
}

fn add(store: &Store, key: &str, delta: u64) -> Result<u64, Refusal> {
    let key = key.to_owned();
    store.apply(StoreAdd { key, delta })
}

#[test]
fn numbers_begin_at_nothing_and_wrap() {
    let store = Store::new();
    assert_eq!(add(&store, "n", 5), Ok(5));
    assert_eq!(add(&store, "n", u64::MAX), Ok(4));
    set(&store, "text", b"abc").unwrap();
    assert_eq!(add(&store, "text", 1), Err(Refusal::Invalid));
}

#[test]
fn a_swap_happens_only_where_it_is_expected() {
    let store = Store::new();
    let swap = |expected: Option<&[u8]>, new: &[u8]| {
        let (key, expected, new) = ("k".to_owned(), expected.map(<[u8]>::to_vec), new.to_vec());
        store
            .apply(StoreCompareAndSwap { key, expected, new })
            .unwrap()
    };
    assert_eq!(swap(Some(b"x"), b"a"), None, "there is none");
    assert_eq!(get(&store, "k"), None);
    assert_eq!(swap(None, b"a"), None, "as expected");
    assert_eq!(swap(None, b"b"), Some(b"a".to_vec()));
    assert_eq!(swap(Some(b"a"), b"b"), Some(b"a".to_vec()));
    assert_eq!(get(&store, "k"), Some(b"b".to_vec()));
}

#[test]
fn keys_are_found_by_prefix_in_order() {
    let store = Store::new();
    for key in ["b/2", "a", "b/1", "c", "b"] {
        set(&store, key, b"").unwrap();
    }
    let keys = |prefix: &str| {
        store
            .apply(StoreKeys {
                prefix: prefix.into(),
            })
            .unwrap()
    };
    assert_eq!(keys("b/"), ["b/1", "b/2"]);
    assert_eq!(keys(""), ["a", "b", "b/1", "b/2", "c"]);
    assert!(keys("d").is_empty());
}

#[test]
fn it_is_bounded() {
    let store = Store::new();
    let limit = Err(Refusal::Limit);
    assert_eq!(set(&store, &"k".repeat(KEY_MAX + 1), b""), limit);
    assert_eq!(set(&store, "k", &vec![0; VALUE_MAX + 1]), limit);
    for number in 0..KEYS_MAX {
        set(&store, &number.to_string(), b"").unwrap();
    }
    assert_eq!(set(&store, "one more", b""), limit);
    assert_eq!(add(&store, "one more", 1), Err(Refusal::Limit));
    set(&store, "7", b"an old one").unwrap();
    let key = "7".to_owned();
    assert_eq!(store.apply(StoreRemove { key }), Ok(true));
    set(&store, "one more", b"").unwrap();
}

#[test]
fn all_of_it_together_is_bounded() {
    let store = Store::new();
    let most = TOTAL_MAX / VALUE_MAX;
    let put = |key: usize| set(&store, &format!("{key:02}"), &vec![0; VALUE_MAX]);
    let full = (0..most).find(|key| put(*key).is_err());
    assert_eq!(full, Some(most - 1), "keys count too");
    set(&store, "00", b"").unwrap();
    put(most - 1).unwrap();
}

#[test]
fn adding_is_atomic() {
    let store = Store::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1000).try_for_each(|_| add(&store, "n", 1).map(|_| ())));
        }
    });
    assert_eq!(add(&store, "n", 0), Ok(4000));
}

proptest! {
    #[test]
    fn it_is_a_map_and_knows_its_size(
        steps in proptest::collection::vec((0..3u8, "[a-c]{0,3}", proptest::collection::vec(any::<u8>(), 0..9)), 0..60),
    ) {
        let (store, mut model) = (Store::new(), BTreeMap::new());
        for (step, key, value) in steps {
            if step == 0 {
                let removed = store.apply(StoreRemove { key: key.clone() }).unwrap();
                prop_assert_eq!(removed, model.remove(&key).is_some());
            } else {
                set(&store, &key, &value).unwrap();
                model.insert(key, value);
            }
        }
        let map = store.lock();
        prop_assert_eq!(&map.entries, &model);
        let total: usize = model.iter().map(|(key, value)| key.len() + value.len()).sum();
        prop_assert_eq!(map.total, total);
    }
}
