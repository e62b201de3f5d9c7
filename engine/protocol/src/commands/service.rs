//! What the engine itself does for a judge. None of it touches the guest, and none of it exists
//! on a wire.

use serde::Serialize;

use crate::{
    commands::Service,
    table::{commands, number, right},
};

commands! {
    /// A service of the engine to the judge that asks.
    ServiceCall, ServiceReply, ServiceId, ServiceHandler in Service:

    /// Tells the operator.
    RaiseAlert {
        /// How bad it is.
        severity: Severity,
        /// For a person.
        message: String,
        /// For a machine.
        fields: Vec<(String, String)>,
    } -> () = "raise-alert" [_ _ _ _] Alert;

    /// Writes to the judge's log.
    WriteLog {
        /// How important it is.
        level: Level,
        /// One line.
        message: String,
    } -> () = "write-log" [_ _ _ _] Log;

    /// Counts or measures.
    RecordMetric {
        /// The judge's own name for it.
        name: String,
        /// What.
        sample: Sample,
    } -> () = "record-metric" [_ _ _ _] Metrics;

    /// Reads a value of the judge's store.
    StoreGet {
        /// Which.
        key: String,
    } -> Option<Vec<u8>> = "store-get" [_ _ _ _] Store;

    /// Writes a value of the judge's store.
    StoreSet {
        /// Which.
        key: String,
        /// What.
        value: Vec<u8>,
    } -> () = "store-set" [_ _ _ _] Store;

    /// Removes a value; answers whether there was one.
    StoreRemove {
        /// Which.
        key: String,
    } -> bool = "store-remove" [_ _ _ _] Store;

    /// The keys with a prefix, in order.
    StoreKeys {
        /// What they begin with.
        prefix: String,
    } -> Vec<String> = "store-keys" [_ _ _ _] Store;

    /// Adds to a number, wrapping; answers with the sum.
    StoreAdd {
        /// Which.
        key: String,
        /// How much.
        delta: u64,
    } -> u64 = "store-add" [_ _ _ _] Store;

    /// Writes a value if it is as expected; answers with the one found before.
    StoreCompareAndSwap {
        /// Which.
        key: String,
        /// None: there is no such key.
        expected: Option<Vec<u8>>,
        /// What.
        new: Vec<u8>,
    } -> Option<Vec<u8>> = "store-compare-and-swap" [_ _ _ _] Store;
}

/// How bad something is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, bincode::Encode, bincode::Decode,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing is wrong.
    Info,
    /// Worth a look some day.
    Low,
    /// Worth a look.
    Medium,
    /// Look now.
    High,
    /// Act now.
    Critical,
}

/// How important a log line is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, bincode::Encode, bincode::Decode,
)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// For the author.
    Trace,
    /// For finding a fault.
    Debug,
    /// Ordinary.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Sample {
    /// Adds to a counter.
    Count(u64),
    /// Sets a gauge.
    Gauge(i64),
    /// Goes into a histogram.
    Value(u64),
}
