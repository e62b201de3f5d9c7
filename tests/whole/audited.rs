//! The audit trail of a whole VM: every command of every judge is in it, with its answer.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use oriel_engine::{
    Audit, Candidate, Engine, Record, Running, Sink,
    audit::{Full, Orderer, Settings, Verb, verify},
    record,
    roster::{RosterError, SwapOptions},
    tool,
};
use oriel_machine::{
    End,
    mock::{Scenario, Step},
    outlet,
};
use oriel_protocol::{
    Dialect, EventKind, Refusal, Right, Verdict,
    commands::{
        vcpu::{GetMsr, SetMsr},
        vm::{GetGuestInfo, ReadPhysical, ReadWord, WritePhysical},
    },
    x86::msr,
};
use oriel_tests::{
    host, native,
    tool::{NAME, Tool, settings},
    zoo,
};

const KIND: &[EventKind] = &[EventKind::Msr];

/// A file in memory, which can be full.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<(Vec<u8>, bool)>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut content = self.0.lock().expect("nobody panics with it");
        if content.1 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        content.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Memory {
    fn text(&self) -> String {
        let content = self.0.lock().expect("nobody panics with it");
        String::from_utf8(content.0.clone()).expect("JSON")
    }

    /// The lines in which all of these words are.
    fn lines(&self, words: &[&str]) -> Vec<String> {
        let text = self.text();
        let all = |line: &&str| words.iter().all(|word| line.contains(word));
        text.lines().filter(all).map(str::to_owned).collect()
    }
}

struct Audited {
    running: Running,
    audit: Arc<Audit>,
    file: Memory,
    told: Arc<record::Kept>,
}

fn start(scenario: &Scenario, judges: Vec<Candidate>, full: Full) -> Audited {
    start_on(Memory::default(), |_| (), scenario, judges, full)
}

/// The same, with something done to the file behind the first line.
fn start_on(
    file: Memory,
    then: impl FnOnce(&Memory),
    scenario: &Scenario,
    judges: Vec<Candidate>,
    full: Full,
) -> Audited {
    let told = Arc::new(record::Kept::default());
    let settings = Settings {
        full,
        ..Settings::default()
    };
    let parts = scenario.build(Arc::new(outlet::Kept::default()));
    let parts = parts.expect("well formed");
    let audit = Audit::start(file.clone(), parts.machine.identity(), settings);
    let audit = audit.expect("a file in memory");
    then(&file);
    let engine = Engine::new(host(), parts);
    let engine = engine
        .sink(told.clone() as Arc<dyn Sink>)
        .audit(audit.clone());
    let engine = judges.into_iter().fold(engine, Engine::judge);
    let running = engine.start().expect("starts");
    Audited {
        running,
        audit,
        file,
        told,
    }
}

impl Audited {
    /// Waits for the end, and for a trail that is whole.
    fn finish(self) -> (End, Memory) {
        let outcome = self.running.wait();
        self.audit
            .finish(&outcome.end.to_string())
            .expect("open until now");
        verify(self.file.text().as_bytes()).expect("a whole trail");
        (outcome.end, self.file)
    }
}

fn writes(count: u64) -> Scenario {
    Scenario::new("writes")
        .step(Step::write_msr(msr::STAR, 7).times(count))
        .step(Step::finish(0))
}

#[test]
fn what_a_judge_does_is_written_with_the_answer_and_the_event() {
    let mut judge = native("native", KIND, |_, desk| {
        let msr = msr::LSTAR;
        assert_eq!(desk.on(0, SetMsr { msr, value: 5 }), Ok(()));
        let bytes = vec![1];
        let refused = desk.vm(WritePhysical { gpa: 0, bytes });
        assert_eq!(refused, Err(Refusal::Denied));
        Verdict::Continue
    });
    let read_only = Right::RegistersWrite.commands();
    judge.grant.commands = read_only;
    let (end, file) = start(&writes(2), vec![judge], Full::Refuse).finish();
    assert_eq!(end, End::Finished(0));
    for seq in ["\"seq\":1,", "\"seq\":2,"] {
        let set = [
            "set-msr",
            "\"0xc0000082\"",
            "\"answer\":\"ok\"",
            "native",
            seq,
        ];
        assert_eq!(file.lines(&set).len(), 1);
        let no = ["write-physical", "\"answer\":\"denied\"", "native", seq];
        assert_eq!(file.lines(&no).len(), 1);
    }
    assert_eq!(
        file.lines(&["\"type\":\"head\"", "\"vm\":\"writes\""])
            .len(),
        1
    );
    assert_eq!(
        file.lines(&["\"type\":\"end\"", "the guest ended with 0"])
            .len(),
        1
    );
}

#[test]
fn reads_are_one_line_an_event() {
    let judge = native("reader", KIND, |_, desk| {
        for gpa in 0..100 {
            assert!(desk.vm(ReadWord { gpa, size: 8 }).is_ok());
            assert!(desk.vm(ReadPhysical { gpa, length: 10 }).is_ok());
        }
        Verdict::Continue
    });
    let (_, file) = start(&writes(3), vec![judge], Full::Refuse).finish();
    let reads = file.lines(&[
        "\"type\":\"reads\"",
        "\"words\":100,\"bulk\":100,\"bytes\":1000",
    ]);
    assert_eq!(reads.len(), 3);
    assert_eq!(file.lines(&["reader"]).len(), 3, "and nothing else");
}

#[test]
fn a_policys_commands_are_written_too() {
    let policy = zoo("read-memory").candidate(&host());
    let (_, file) = start(&writes(2), vec![policy], Full::Refuse).finish();
    let alerts = file.lines(&[
        "\"command\":\"raise-alert\"",
        "oriel-zoo",
        "\"severity\":\"low\"",
    ]);
    assert_eq!(alerts.len(), 2);
    assert_eq!(file.lines(&["\"type\":\"reads\"", "oriel-zoo"]).len(), 2);
}

#[test]
fn what_the_operator_does_is_written_as_its_own() {
    let storm = oriel_machine::mock::builtin("msr-storm").expect("built in");
    let judge = native("any", &[], |_, _| Verdict::Continue);
    let audited = start(&storm.looping(), vec![judge], Full::Refuse);
    let vm = audited.running.handle();
    let within = Duration::from_secs(60);
    assert_eq!(vm.pause(0, within), Ok(()));
    assert!(vm.run(0, 0, GetMsr { msr: msr::STAR }, within).is_ok());
    assert_eq!(vm.resume(0), Ok(()));
    assert_eq!(vm.resume(99), Err(Refusal::NotFound));
    vm.stop();
    let (_, file) = audited.finish();
    let operator = "\"who\":\"operator\",\"through\":\"handle\"";
    for command in ["pause", "resume", "stop"] {
        let command = format!("\"command\":\"{command}\"");
        assert!(
            !file
                .lines(&[operator, &command, "\"answer\":\"ok\""])
                .is_empty(),
            "{command}"
        );
    }
    assert_eq!(
        file.lines(&[operator, "resume", "\"answer\":\"not-found\""])
            .len(),
        1
    );
    let in_its_name = "\"who\":\"any\",\"through\":\"handle\"";
    assert_eq!(file.lines(&[in_its_name, "get-msr"]).len(), 1);
}

#[test]
fn orders_about_policies_are_written_with_what_came_of_them() {
    let storm = oriel_machine::mock::builtin("msr-storm").expect("built in");
    let guard = || {
        zoo("continue")
            .named("guard")
            .hears(KIND)
            .candidate(&host())
    };
    let audited = start(&storm.looping(), vec![guard()], Full::Refuse);
    let vm = audited.running.handle();
    let roster = vm.roster();
    let swapped = roster.swap(guard(), &SwapOptions::default());
    assert_eq!(swapped.expect("a swap").to, 2);
    assert!(roster.load(guard()).is_err(), "there is one of this name");
    let (uid, pid) = (7, None);
    let peer = roster.ordered_by(Orderer::Socket { uid, pid });
    assert_eq!(peer.rollback("guard", None).expect("a way back").to, 1);
    assert_eq!(vm.release("guard"), Err(Refusal::Invalid));
    roster.declined(Verb::Load, "other", "it is not WebAssembly");
    peer.unload("guard").expect("it is there");
    vm.stop();
    let (_, file) = audited.finish();
    let answers = [
        [
            "\"through\":\"handle\"",
            "\"swap\"",
            "\"ok\",\"from\":1,\"to\":2",
        ],
        [
            "\"through\":\"handle\"",
            "\"load\"",
            "\"refused\",\"reason\":\"a policy is called",
        ],
        [
            "\"uid\":7,\"pid\":null",
            "\"rollback\"",
            "\"ok\",\"from\":2,\"to\":1",
        ],
        ["\"through\":\"handle\"", "\"release\"", "\"refused\""],
        ["\"other\"", "\"load\"", "it is not WebAssembly"],
        ["\"uid\":7", "\"unload\"", "\"ok\""],
    ];
    for words in &answers {
        assert_eq!(file.lines(words).len(), 1, "{words:?}: {}", file.text());
    }
    assert_eq!(file.lines(&["\"type\":\"order\""]).len(), answers.len());
}

#[test]
fn with_a_disk_that_is_full_no_revision_comes_into_force_and_one_can_go() {
    let guard = || zoo("continue").named("guard").hears(&[]).candidate(&host());
    let fill = |file: &Memory| file.0.lock().expect("nobody panics with it").1 = true;
    let storm = oriel_machine::mock::builtin("msr-storm").expect("built in");
    let full = Full::Refuse;
    let audited = start_on(
        Memory::default(),
        fill,
        &storm.looping(),
        vec![guard()],
        full,
    );
    let roster = audited.running.handle().roster();
    // The first line that does not fit is what tells that the disk is full.
    let refused = loop {
        if let Err(error) = roster.swap(guard(), &SwapOptions::default()) {
            break error;
        }
    };
    assert!(matches!(refused, RosterError::Unaudited), "{refused}");
    let other = zoo("continue").named("other").hears(&[]);
    let loaded = roster.load(other.candidate(&host()));
    assert!(matches!(loaded, Err(RosterError::Unaudited)));
    roster.unload("guard").expect("what is there can go");
    audited.running.handle().stop();
    audited.running.wait();
    let closed = audited.audit.finish("").expect("open until now");
    assert!(closed.lost >= 2, "the swap and the unload: {}", closed.lost);
}

#[test]
fn what_a_tool_asks_for_is_written_and_what_its_session_refuses() {
    let mut allowed = settings(Dialect::V7);
    let forbidden = oriel_protocol::CommandId::by_name("inject-exception").expect("a command");
    let commands = oriel_protocol::CommandId::all().filter(|&id| id != forbidden);
    allowed.grant.commands = commands.collect();
    let seat = tool::candidate(NAME, allowed);
    let storm = oriel_machine::mock::builtin("msr-storm").expect("built in");
    let audited = start(&storm.looping(), vec![seat], Full::Refuse);
    let vm = audited.running.handle();
    let (mut client, theirs, ended) = Tool::pair(Dialect::V7);
    let port = vm.tool(NAME).expect("a seat");
    port.hook(theirs, ended).expect("free");
    assert_eq!(client.vm(GetGuestInfo {}), Ok(1));
    assert!(client.vm(ReadPhysical { gpa: 0, length: 8 }).is_ok());
    let exception = oriel_protocol::x86::Exception::GP0;
    let inject = oriel_protocol::commands::vcpu::InjectException { exception };
    assert_eq!(client.on(0, inject), Err(Refusal::Denied.errno()));
    let msrs = vec![msr::STAR];
    assert!(
        client
            .on(0, oriel_protocol::commands::vcpu::GetRegisters { msrs })
            .is_ok()
    );
    client.hang_up();
    vm.stop();
    let (_, file) = audited.finish();
    let who = format!("\"who\":\"{NAME}\"");
    assert_eq!(
        file.lines(&[&who, "get-guest-info", "\"answer\":\"ok\""])
            .len(),
        1
    );
    assert_eq!(
        file.lines(&[&who, "\"type\":\"reads\"", "\"bulk\":1"])
            .len(),
        1
    );
    assert_eq!(
        file.lines(&[&who, "inject-exception", "\"answer\":\"denied\""])
            .len(),
        1
    );
    let registers = [&who, "get-registers", "\"on\":0", "\"answer\":\"ok\""];
    assert_eq!(file.lines(&registers).len(), 1);
}

/// A judge that keeps on writing an MSR until it is refused.
fn insists(answer: Result<(), Refusal>) -> Candidate {
    native("insists", KIND, move |case, desk| {
        let msr = msr::LSTAR;
        let value = case.moment.seq;
        // The writer meets the disk some time after the first command.
        while desk.on(0, SetMsr { msr, value }) != answer {
            std::thread::yield_now();
        }
        Verdict::Continue
    })
}

#[test]
fn with_a_disk_that_is_full_nothing_happens_that_is_not_written() {
    let judge = insists(Err(Refusal::Unavailable));
    let audited = started_on_a_full_disk(1, judge, Full::Refuse);
    let told = audited.told.clone();
    assert_eq!(audited.running.wait().end, End::Finished(0));
    let closed = audited.audit.finish("").expect("open until now");
    assert_eq!(closed.hash, None, "there is no closing line");
    let refused = told.records().into_iter().any(|record| {
        matches!(record, Record::Refusal(refused) if refused.refusal == Refusal::Unavailable)
    });
    assert!(refused, "it is told of");
}

#[test]
fn with_a_disk_that_is_full_all_goes_on_where_the_operator_says_so() {
    let audited = started_on_a_full_disk(50, insists(Ok(())), Full::Drop);
    assert_eq!(audited.running.wait().end, End::Finished(0));
    let closed = audited.audit.finish("").expect("open until now");
    assert_eq!((closed.hash, closed.lost), (None, 50));
}

/// Nothing fits behind the first line.
fn started_on_a_full_disk(events: u64, judge: Candidate, full: Full) -> Audited {
    let fill = |file: &Memory| file.0.lock().expect("nobody panics with it").1 = true;
    start_on(Memory::default(), fill, &writes(events), vec![judge], full)
}
