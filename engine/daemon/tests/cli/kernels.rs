//! Kernels as users run them: `oriel run --machine kvm --guest FILE --initrd FILE --cmdline TEXT`.

use std::{
    io::Read as _,
    process::{Command, Stdio},
};

use oriel_guests::kernels::{self, Ending};
use tempfile::TempDir;

use super::{
    assert_error, directory, file, kvm_is_required_or_there, oriel, plugin, status, stderr,
};

/// A vmlinux and a bzImage that end so.
fn both(directory: &TempDir, ending: Ending) -> [String; 2] {
    [
        file(directory, "vmlinux", kernels::vmlinux(ending)),
        file(directory, "bzImage", kernels::bzimage(ending)),
    ]
}

/// What `oriel run` is told of a kernel.
fn run<'a>(guest: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["run", "--machine", "kvm", "--guest", guest];
    arguments.extend(flags);
    arguments
}

#[test]
fn a_kernel_is_told_what_was_typed_and_its_serial_line_goes_to_a_file() {
    if !kvm_is_required_or_there() {
        return;
    }
    let directory = directory();
    let initrd = file(&directory, "initrd", [1, 2, 3, 4]);
    let (serial, events) = (
        file(&directory, "serial", ""),
        file(&directory, "events", ""),
    );
    for guest in both(&directory, Ending::Finished) {
        let flags = [
            "--initrd",
            &initrd,
            "--cmdline",
            "quiet and=more",
            "--vcpus",
            "2",
            "--memory",
            "64",
            "--serial",
            &serial,
            "--events",
            &events,
        ];
        let output = oriel(&run(&guest, &flags));
        assert_eq!(status(&output), 0, "{guest}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{guest}");
        let said = std::fs::read_to_string(&serial).expect("the serial line");
        assert_eq!(said, "quiet and=more\n", "{guest}");
        let lines = std::fs::read_to_string(&events).expect("event lines");
        assert!(lines.contains("\"type\":\"end\""), "{guest}: {lines}");
    }
}

#[test]
fn a_kernel_that_is_told_nothing_speaks_over_the_serial_line() {
    if !kvm_is_required_or_there() {
        return;
    }
    let directory = directory();
    for guest in both(&directory, Ending::Finished) {
        let output = oriel(&run(&guest, &["--serial", "stdout"]));
        assert_eq!(status(&output), 0, "{guest}: {}", stderr(&output));
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, "console=ttyS0 reboot=t panic=-1\n", "{guest}");
    }
}

#[test]
fn exit_statuses_say_how_a_kernel_ended() {
    if !kvm_is_required_or_there() {
        return;
    }
    let directory = directory();
    for guest in both(&directory, Ending::TripleFault) {
        let output = oriel(&run(&guest, &["--serial", "none"]));
        assert_eq!(status(&output), 3, "{guest}: {}", stderr(&output));
        assert!(stderr(&output).contains("triple"), "{}", stderr(&output));
    }
    let (zoo, crash) = (
        plugin("oriel-zoo"),
        file(&directory, "crash.toml", "act = \"crash\"\n"),
    );
    let config = format!("oriel-zoo={crash}");
    for guest in both(&directory, Ending::Reset) {
        let flags = [
            "--serial",
            "none",
            "--policy",
            &zoo,
            "--grant",
            "oriel-zoo=reset,alert,store,memory-read,x86-registers-read,intercept",
            "--policy-config",
            &config,
        ];
        let output = oriel(&run(&guest, &flags));
        assert_eq!(status(&output), 4, "{guest}: {}", stderr(&output));
    }
}

#[test]
fn a_signal_ends_a_kernel_that_would_run_for_ever() {
    if !kvm_is_required_or_there() {
        return;
    }
    let directory = directory();
    for guest in both(&directory, Ending::Reset) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_oriel"))
            .args(run(&guest, &["--cmdline", "again", "--serial", "stdout"]))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        // A second boot says that it has been reset.
        let mut said = [0; 12];
        let mut stdout = child.stdout.take().expect("piped");
        stdout.read_exact(&mut said).expect("the guest speaks");
        assert_eq!(&said, b"again\nagain\n");
        let id = child.id().to_string();
        let kill = Command::new("kill").args(["-TERM", &id]).status();
        assert!(kill.expect("kill").success());
        let ended = child.wait().expect("it ends");
        assert_eq!(ended.code(), Some(128 + 15), "{guest}");
    }
}

#[test]
fn what_is_no_kernel_or_lacks_a_part_is_refused_in_words() {
    if !kvm_is_required_or_there() {
        return;
    }
    let directory = directory();
    let [vmlinux, _] = both(&directory, Ending::Finished);
    let flat = file(&directory, "flat", [0xf4]);
    let output = oriel(&run(&flat, &["--cmdline", "quiet"]));
    assert_error(&output, &[&flat, "neither an ELF file nor a bzImage"]);
    let output = oriel(&run(&vmlinux, &["--initrd", "no/such/initrd"]));
    assert_error(&output, &["no/such/initrd", "cannot be read"]);
    let output = oriel(&run("builtin:hello", &["--cmdline", "quiet"]));
    assert_error(&output, &["builtin:hello", "--cmdline"]);
    let output = oriel(&run(&vmlinux, &["--memory", "1"]));
    assert_error(&output, &[&vmlinux, "--memory"]);
    let long = "x".repeat(2048);
    let output = oriel(&run(&vmlinux, &["--cmdline", &long]));
    assert_error(&output, &["2048 bytes long", "2047"]);
}
