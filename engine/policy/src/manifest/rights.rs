//! Rights in a manifest: by name.

use std::collections::BTreeSet;

use oriel_protocol::Right;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

type Rights = Option<BTreeSet<Right>>;

pub(super) fn serialize<S: Serializer>(rights: &Rights, to: S) -> Result<S::Ok, S::Error> {
    rights.serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Rights, D::Error> {
    let names = Option::<Vec<String>>::deserialize(from)?;
    let right = |name: String| {
        Right::by_name(&name).ok_or_else(|| D::Error::custom(format!("`{name}` is no right")))
    };
    names
        .map(|names| names.into_iter().map(right).collect())
        .transpose()
}
