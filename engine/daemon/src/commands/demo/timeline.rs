//! What happened, for a reader: one line each, in the order of time.

use oriel_engine::{
    Record,
    effect::effect,
    record::{Alert, Judged},
};
use oriel_protocol::{Event, EventData, events::Msr, x86::msr};

use crate::output::say;

/// Prints the timeline of a run.
pub(crate) fn print(title: &str, records: &[Record]) {
    say(format_args!("{title}\n"));
    say(format_args!("{:>12}  {:<5} what", "time", "who"));
    in_order(records).into_iter().for_each(print_record);
    print_summary(records);
}

/// By time; an event stands before what was said about it.
fn in_order(records: &[Record]) -> Vec<&Record> {
    let mut ordered: Vec<_> = records.iter().collect();
    ordered.sort_by_key(|record| match record {
        Record::Start(_) => (0, 0),
        Record::Event(judged) => (judged.moment.time_ns, 0),
        Record::Alert(alert) => (alert.moment.time_ns, 1),
        Record::Failure(failed) => (failed.moment.time_ns, 1),
        Record::Refusal(refused) => (refused.moment.time_ns, 1),
        Record::Log(line) => (line.moment.time_ns, 1),
        Record::Tool(visit) => (visit.time_ns, 1),
        Record::Policy(turnover) => (turnover.time_ns, 1),
        Record::Report { time_ns, .. } => (*time_ns, 2),
        Record::End(_) => (u64::MAX, 3),
    });
    ordered
}

fn print_record(record: &Record) {
    match record {
        Record::Start(_) => row(0, "guest", "starts"),
        Record::Event(judged) => print_event(judged),
        Record::Alert(alert) => print_alert(alert),
        Record::Report { time_ns, value, .. } => {
            row(*time_ns, "guest", &format!("reports {value:#x}"))
        }
        Record::Failure(failed) => row(failed.moment.time_ns, &failed.judge, &failed.failure),
        Record::Refusal(refused) => row(
            refused.moment.time_ns,
            &refused.judge,
            &refused.refusal.to_string(),
        ),
        Record::End(outcome) => {
            row(
                u64::try_from(outcome.ran.as_nanos()).unwrap_or(u64::MAX),
                "",
                &outcome.end.to_string(),
            );
        }
        Record::Log(_) | Record::Tool(_) | Record::Policy(_) => {}
    }
}

fn print_event(judged: &Judged) {
    let who = format!("vCPU{}", judged.moment.vcpu);
    row(judged.moment.time_ns, &who, &describe(&judged.event));
    for opinion in &judged.judges {
        let took = opinion.ns as f64 / 1000.0;
        row(
            judged.moment.time_ns,
            "",
            &format!(
                "  {} says {} (in {took:.1} µs)",
                opinion.judge,
                opinion.verdict.kind().name()
            ),
        );
    }
    row(
        judged.moment.time_ns,
        "",
        &format!("  → {}", effect(&judged.event, &judged.verdict)),
    );
}

fn print_alert(alert: &Alert) {
    row(
        alert.moment.time_ns,
        "",
        &format!(
            "  alert from {}: {}",
            alert.judge.as_deref().unwrap_or("Oriel itself"),
            alert.message
        ),
    );
}

fn describe(event: &Event) -> String {
    if let EventData::Msr(Msr { msr, old, new }) = event.data {
        format!("writes {}: {old:#x} → {new:#x}", name(msr))
    } else if let EventData::Breakpoint(hit) = event.data {
        format!("comes to a breakpoint at {:#x}", hit.gva)
    } else {
        event.kind().name().to_owned()
    }
}

fn name(number: u32) -> String {
    match number {
        msr::LSTAR => "LSTAR (where SYSCALL enters the kernel)".to_owned(),
        other => format!("MSR {other:#x}"),
    }
}

fn print_summary(records: &[Record]) {
    let spent = records.iter().filter_map(|record| {
        if let Record::Event(judged) = record {
            Some(judged.judges.iter().map(|opinion| opinion.ns).sum::<u64>())
        } else {
            None
        }
    });
    let (events, spent) = spent.fold((0, 0), |(events, total), ns| (events + 1, total + ns));

    if let Some(value) = super::reported(records) {
        say(format_args!("\nThe value that stayed in LSTAR: {value:#x}"));
    }
    say(format_args!(
        "Time spent in the policy: {:.1} µs for {events} events\n",
        spent as f64 / 1000.0
    ));
}

fn row(time_ns: u64, who: &str, what: &str) {
    say(format_args!(
        "{:>9.3} ms  {who:<5} {what}",
        time_ns as f64 / 1e6
    ));
}
