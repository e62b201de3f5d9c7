//! Counts and measures.

use oriel_protocol::commands::service::{RecordMetric, Sample};

use crate::{bindings::oriel::introspection::metrics::Host, limits::NAME_MAX, state::State};

impl Host for State {
    fn add(&mut self, name: String, delta: u64) {
        put(self, name, Sample::Count(delta));
    }

    fn set(&mut self, name: String, value: i64) {
        put(self, name, Sample::Gauge(value));
    }

    fn record(&mut self, name: String, value: u64) {
        put(self, name, Sample::Value(value));
    }
}

fn put(state: &mut State, name: String, sample: Sample) {
    let put = name.len() <= NAME_MAX && state.service(RecordMetric { name, sample }).is_ok();
    if !put {
        state.drop_metric();
    }
}
