//! Any messages in any order, well formed and mangled: every command that is taken is answered
//! exactly once, or the connection is closed, and the guest reaches its end either way.

use oriel_machine::End;
use oriel_protocol::{Dialect, kvmi::tool::raw};
use oriel_tests::{scenario, tool::on_vcpu};
use proptest::prelude::*;

use super::super::{BOTH_WRITE, hear_star, hooked};

/// One message.
#[derive(Clone, Debug)]
struct Message {
    id: u16,
    payload: Vec<u8>,
}

/// Switches replies off; what is answered is then another matter, tested elsewhere.
const REPLIES: u16 = 27;

/// A number that a dialect has, or any.
fn id() -> impl Strategy<Value = u16> {
    prop_oneof![8 => 2_u16..64, 1 => any::<u16>()]
}

/// Small numbers make sense more often than large ones.
fn field() -> impl Strategy<Value = [u8; 8]> {
    let small = (0_u64..16).prop_map(u64::to_le_bytes);
    let address = (0_u64..0x3000).prop_map(|page| (page * 0x1000).to_le_bytes());
    let kind = (0_u8..20, 0_u8..3).prop_map(|(low, high)| [low, 0, high, 0, 0, 0, 0, 0]);
    prop_oneof![4 => small, 2 => address, 4 => kind, 1 => any::<[u8; 8]>()]
}

fn fields() -> impl Strategy<Value = Vec<u8>> {
    let fields = proptest::collection::vec(field(), 0..6);
    fields.prop_map(|fields| fields.concat())
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let vcpu = (0_u16..3, fields()).prop_map(|(vcpu, rest)| on_vcpu(vcpu, &rest));
    let noise = proptest::collection::vec(any::<u8>(), 0..300);
    let long = (0_usize..=8184).prop_map(|length| vec![0; length]);
    prop_oneof![4 => fields(), 8 => vcpu, 1 => noise, 1 => long]
}

fn message() -> impl Strategy<Value = Message> {
    (id(), payload()).prop_map(|(id, payload)| Message { id, payload })
}

fn is_counted(dialect: Dialect, message: &Message) -> bool {
    let switch = dialect != Dialect::V12 && message.id == REPLIES;
    // The refusal of number 1 reads like an event, and 0 and 1 are answers to events.
    !switch && message.id > 1
}

/// Says all of it, and sees what comes of it.
fn say(dialect: Dialect, early: bool, messages: &[Message]) {
    let (vm, mut tool) = hooked(dialect, &scenario(BOTH_WRITE));
    hear_star(&mut tool, 0);
    if early {
        vm.go(2);
    }
    let mut seqs = Vec::new();
    for Message { id, payload } in messages {
        let seq = tool.next_seq();
        if tool.try_bytes(&raw(*id, seq, payload)) {
            seqs.push(seq);
        }
    }
    // A command is answered once (twice would be a panic there), or the connection has ended.
    for seq in seqs {
        if !tool.is_answered(seq) {
            break;
        }
    }
    let _ = tool.hang_up();
    if !early {
        vm.go(2);
    }
    let ran = vm.wait();
    assert_eq!(ran.outcome.end, End::Finished(0));
    assert_eq!(ran.reports.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_command_is_answered_once_or_the_connection_ends(
        dialect in prop_oneof![Just(Dialect::Rfc6), Just(Dialect::V6), Just(Dialect::V7), Just(Dialect::V12)],
        early: bool,
        messages in proptest::collection::vec(message(), 1..40),
    ) {
        let counted: Vec<_> = messages
            .into_iter()
            .filter(|message| is_counted(dialect, message))
            .collect();
        say(dialect, early, &counted);
    }

    #[test]
    fn whatever_is_said_the_guest_reaches_its_end(
        dialect in prop_oneof![Just(Dialect::Rfc6), Just(Dialect::V6), Just(Dialect::V7), Just(Dialect::V12)],
        messages in proptest::collection::vec(message(), 1..40),
        torn in 0_usize..64,
    ) {
        let (vm, mut tool) = hooked(dialect, &scenario(BOTH_WRITE));
        hear_star(&mut tool, 0);
        vm.go(2);
        let mut bytes = Vec::new();
        for Message { id, payload } in &messages {
            bytes.extend(raw(*id, tool.next_seq(), payload));
        }
        bytes.truncate(bytes.len() - torn.min(bytes.len()));
        // It may be hung up on before all is sent.
        let _ = tool.try_bytes(&bytes);
        let _ = tool.hang_up();
        let ran = vm.wait();
        prop_assert_eq!(ran.outcome.end, End::Finished(0));
    }
}
