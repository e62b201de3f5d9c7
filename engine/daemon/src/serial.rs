//! Where the guest's serial line and its reports go.

use std::{
    fs::File,
    io::{self, Write},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Instant,
};

use anyhow::Context;
use oriel_engine::{Record, Sink};
use oriel_machine::Outlet;

/// Writes the serial line to a stream, and reports to the sink.
pub(crate) struct Serial {
    to: Option<Mutex<Box<dyn Write + Send>>>,
    sink: Option<Arc<dyn Sink>>,
    started: OnceLock<Instant>,
}

impl Serial {
    /// `stdout`, `stderr`, `none`, or a file.
    pub(crate) fn open(place: &str, sink: Option<Arc<dyn Sink>>) -> anyhow::Result<Arc<Self>> {
        let to: Option<Box<dyn Write + Send>> = match place {
            "none" => None,
            "stdout" => Some(Box::new(io::stdout())),
            "stderr" => Some(Box::new(io::stderr())),
            file => {
                Some(Box::new(File::create(file).with_context(|| {
                    format!("--serial {file} cannot be written")
                })?))
            }
        };
        Ok(Arc::new(Self {
            to: to.map(Mutex::new),
            sink,
            started: OnceLock::new(),
        }))
    }

    fn now(&self) -> u64 {
        let elapsed = self.started.get_or_init(Instant::now).elapsed();
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Learns from the first record when the VM started.
impl Sink for Serial {
    fn put(&self, record: Record) {
        if matches!(record, Record::Start(_)) {
            self.started.get_or_init(Instant::now);
        }
    }

    fn wants_events(&self) -> bool {
        false
    }
}

impl Outlet for Serial {
    fn serial(&self, bytes: &[u8]) {
        let Some(to) = &self.to else { return };
        let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader that has gone does not stop the guest.
        let _ = to.write_all(bytes).and_then(|()| to.flush());
    }

    fn report(&self, vcpu: u32, value: u64) {
        let time_ns = self.now();
        if let Some(sink) = &self.sink {
            sink.put(Record::Report {
                vcpu,
                time_ns,
                value,
            });
        }
    }
}
