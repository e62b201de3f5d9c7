//! What is wrong with a manifest.

use thiserror::Error;

use crate::{config::ConfigError, limits::LimitError, manifest::LENGTH_MAX};

/// What is wrong with a manifest.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is too long.
    #[error("it has {0} bytes; {LENGTH_MAX} at most")]
    Length(usize),
    /// It is not JSON, or has keys or values that are not known.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A time of nothing.
    #[error("`{0}` is 0; leave it out for the default")]
    Zero(&'static str),
    /// A limit that there is none of, or that is said elsewhere.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A parameter's default is not of its type.
    #[error("the default of a configuration key does not fit")]
    Default(#[from] ConfigError),
    /// A parameter that must be given has a default.
    #[error("`config.{0}` is required and has a default: say one or the other")]
    RequiredDefault(String),
}
