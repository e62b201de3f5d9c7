//! Services of the engine to the judge that asks.

use oriel_protocol::{
    Handle, Refusal,
    commands::service::{
        Level, RaiseAlert, RecordMetric, StoreAdd, StoreCompareAndSwap, StoreGet, StoreKeys,
        StoreRemove, StoreSet, WriteLog,
    },
};

use super::Desk;
use crate::record::{Alert, LogLine, Record};

impl Handle<RaiseAlert> for Desk {
    fn handle(&mut self, request: RaiseAlert) -> Result<(), Refusal> {
        let RaiseAlert {
            severity,
            message,
            fields,
        } = request;
        let caller = self.asking()?;
        let judge = caller.name.clone();
        if caller.on_trial {
            let message = format!("on trial; it would have told ({severity:?}): {message}");
            return self.handle(WriteLog {
                level: Level::Info,
                message,
            });
        }
        self.shared.tell(|| {
            Record::Alert(Alert {
                judge: Some(judge),
                moment: self.moment,
                severity,
                message,
                fields,
                by_engine: false,
            })
        });
        Ok(())
    }
}

impl Handle<WriteLog> for Desk {
    fn handle(&mut self, request: WriteLog) -> Result<(), Refusal> {
        let WriteLog { level, message } = request;
        let judge = self.asking()?.name.clone();
        self.shared.tell(|| {
            Record::Log(LogLine {
                judge,
                moment: self.moment,
                level,
                message,
            })
        });
        Ok(())
    }
}

impl Handle<RecordMetric> for Desk {
    fn handle(&mut self, request: RecordMetric) -> Result<(), Refusal> {
        let kept_under = self.asking()?.first;
        self.shared
            .metrics
            .record(kept_under, request.name, request.sample)
    }
}

/// The store does its own work; the desk only knows whose it is.
macro_rules! stored {
    ($($row:ty => $answer:ty),* $(,)?) => { $(
        impl Handle<$row> for Desk {
            fn handle(&mut self, request: $row) -> Result<$answer, Refusal> {
                self.asking()?.store.apply(request)
            }
        }
    )* };
}

stored! {
    StoreGet => Option<Vec<u8>>,
    StoreSet => (),
    StoreRemove => bool,
    StoreKeys => Vec<String>,
    StoreAdd => u64,
    StoreCompareAndSwap => Option<Vec<u8>>,
}
