//! Orders about the policies of a VM, and who gave them. Owns their line in the trail; never
//! decides whether one is obeyed.

use serde_json::{Value as Json, json};

use super::{
    Audit,
    line::{Fields, Line, typed},
    queue::Place,
};

/// The most characters of a reason.
const REASON: usize = 400;

/// Who gives an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Orderer {
    /// The operator or an embedder, through the handle.
    #[default]
    Handle,
    /// Whoever has connected to the control socket, as the host's kernel says.
    Socket {
        /// Its user.
        uid: u32,
        /// Its process, if the kernel says which.
        pid: Option<i32>,
    },
    /// The watched directory.
    Watch,
    /// A revision that has failed on probation.
    Probation,
}

/// What is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A policy is to come.
    Load,
    /// One is to go.
    Unload,
    /// A new revision is to come into force.
    Swap,
    /// An earlier one is to.
    Rollback,
    /// A quarantine is to end.
    Release,
}

/// An order.
pub(crate) struct Order {
    pub(crate) by: Orderer,
    pub(crate) verb: Verb,
    pub(crate) policy: String,
    pub(crate) time_ns: u64,
    pub(crate) arguments: Fields,
}

/// What came of it: more fields, or why it was not obeyed; none: nobody said.
pub(super) type Outcome = Option<Result<Fields, String>>;

/// An order with its place in the queue. It has a line, whatever becomes of it.
pub(crate) struct OpenOrder {
    /// None: it is counted as lost already.
    place: Option<Place>,
    order: Option<Box<Order>>,
}

impl Verb {
    /// Its word in the trail.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Unload => "unload",
            Self::Swap => "swap",
            Self::Rollback => "rollback",
            Self::Release => "release",
        }
    }

    /// Whether it only takes back what there is: then no full disk keeps it from being done.
    const fn takes_back(self) -> bool {
        match self {
            Self::Unload | Self::Rollback | Self::Release => true,
            Self::Load | Self::Swap => false,
        }
    }
}

impl Orderer {
    fn tell(&self, fields: &mut Fields) {
        let (who, through) = match self {
            Self::Handle => ("operator", "handle"),
            Self::Socket { .. } => ("operator", "socket"),
            Self::Watch => ("operator", "watch"),
            Self::Probation => ("oriel", "probation"),
        };
        fields.insert("who".to_owned(), json!(who));
        fields.insert("through".to_owned(), json!(through));
        if let Self::Socket { uid, pid } = self {
            fields.insert("uid".to_owned(), json!(uid));
            fields.insert("pid".to_owned(), json!(pid));
        }
    }
}

impl Audit {
    /// A place for an order before it is carried out; none if there is no place, and the operator
    /// wants nothing done that is not in the trail.
    pub(crate) fn order(&self, order: Order) -> Option<OpenOrder> {
        let place = match self.place() {
            Ok(place) => place,
            Err(_) if order.verb.takes_back() => {
                self.queue.lose();
                None
            }
            Err(_) => return None,
        };
        Some(OpenOrder {
            place,
            order: Some(Box::new(order)),
        })
    }
}

impl OpenOrder {
    /// Says what became of it.
    pub(crate) fn answered(mut self, outcome: Result<Fields, String>) {
        self.write(Some(outcome));
    }

    fn write(&mut self, outcome: Outcome) {
        if let (Some(place), Some(order)) = (self.place.take(), self.order.take()) {
            place.put(Line::Order(order, outcome));
        }
    }
}

/// One of which nobody says what became of it has a line all the same.
impl Drop for OpenOrder {
    fn drop(&mut self) {
        self.write(None);
    }
}

/// The fields of its line.
pub(super) fn told(order: Order, outcome: Outcome) -> Fields {
    let mut fields = typed("order");
    order.by.tell(&mut fields);
    fields.insert("time_ns".to_owned(), json!(order.time_ns));
    fields.insert("order".to_owned(), json!(order.verb.name()));
    fields.insert("policy".to_owned(), json!(order.policy));
    fields.insert("args".to_owned(), Json::Object(order.arguments));
    let (answer, more) = match outcome {
        Some(Ok(more)) => ("ok", more),
        Some(Err(reason)) => ("refused", because(&reason)),
        None => ("unknown", Fields::new()),
    };
    fields.insert("answer".to_owned(), json!(answer));
    fields.extend(more);
    fields
}

fn because(reason: &str) -> Fields {
    let reason: String = reason.chars().take(REASON).collect();
    Fields::from_iter([("reason".to_owned(), json!(reason))])
}
