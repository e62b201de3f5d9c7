//! The settings of the host of policies that all commands share. Makes no host.

use oriel_build::cache::Cache;
use oriel_policy::HostSettings;

/// The defaults, and a place for compiled code in the user's cache: an interpreter takes a minute to compile, and
/// a second to load. Without a home there is no such place.
pub(crate) fn settings() -> HostSettings {
    HostSettings {
        code_cache: Cache::open().ok().map(|cache| cache.join("code")),
        ..HostSettings::default()
    }
}
