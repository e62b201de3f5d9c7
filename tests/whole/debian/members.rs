//! Where members of structures are: read out of the running kernel, and by other tools out of its
//! file. bpftool writes the file's types as C, and the compiler says where it puts each member.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use oriel_guest::btf::Types;

use super::Vm;

/// A path: the type that each part of it begins with, and the member there. A part that is not the
/// last is a pointer to the next one's type.
type Steps = &'static [(&'static str, &'static str)];

const MEMBERS: &[Steps] = &[
    &[("task_struct", "pid")],
    &[("task_struct", "comm")],
    &[("task_struct", "comm[5]")],
    &[("task_struct", "tasks.next")],
    &[("task_struct", "real_parent")],
    &[("task_struct", "thread_info.flags")],
    &[("task_struct", "pid_links[1].next")],
    &[("task_struct", "thread.sp")],
    &[("task_struct", "mm"), ("mm_struct", "pgd")],
    &[
        ("task_struct", "mm"),
        ("mm_struct", "exe_file"),
        ("file", "f_mode"),
    ],
    &[("task_struct", "cred"), ("cred", "uid.val")],
    &[("task_struct", "real_parent"), ("task_struct", "tgid")],
    &[
        ("task_struct", "group_leader"),
        ("task_struct", "signal"),
        ("signal_struct", "nr_threads"),
    ],
    &[
        ("task_struct", "files"),
        ("files_struct", "fdt"),
        ("fdtable", "fd"),
    ],
    &[
        ("task_struct", "sighand"),
        ("sighand_struct", "action[3].sa.sa_flags"),
    ],
    &[("mm_struct", "start_stack")],
    &[("mm_struct", "mmap_lock.owner")],
    &[("page", "flags")],
    &[("page", "lru.next")],
    &[("page", "mapping")],
    &[("page", "_refcount.counter")],
    &[("module", "name[3]")],
    &[("module", "list.next")],
    &[("module", "state")],
    &[("dentry", "d_name.name")],
    &[("dentry", "d_name.len")],
    &[
        ("file", "f_path.dentry"),
        ("dentry", "d_parent"),
        ("dentry", "d_inode"),
    ],
    &[
        ("inode", "i_sb"),
        ("super_block", "s_type"),
        ("file_system_type", "name"),
    ],
    &[("inode", "i_mode")],
    &[("super_block", "s_id[7]")],
    &[("net_device", "name")],
    &[("net_device", "dev.kobj.name")],
    &[("sk_buff", "len")],
    &[("sk_buff", "next")],
    &[("sock", "__sk_common.skc_dport")],
    &[("sock", "__sk_common.skc_state")],
    &[("linux_binprm", "filename")],
    &[("linux_binprm", "file"), ("file", "f_path.dentry")],
    &[("cpuinfo_x86", "x86_capability[4]")],
    &[("pid_namespace", "idr.idr_rt.xa_head")],
];

/// Members that are bit-fields, by type and path.
const BITS: &[(&str, &str)] = &[
    ("task_struct", "sched_reset_on_fork"),
    ("task_struct", "in_iowait"),
    ("task_struct", "in_execve"),
    ("sk_buff", "pkt_type"),
    ("sk_buff", "ip_summed"),
    ("sk_buff", "cloned"),
    ("iphdr", "ihl"),
    ("tcphdr", "syn"),
    ("linux_binprm", "have_execfd"),
    ("desc_struct", "dpl"),
    ("gate_struct", "bits.ist"),
    ("tcp_options_received", "snd_wscale"),
];

/// Of both together, in every kernel of today.
const LEAST: usize = 40;

/// The hops, the offset and the size; of a bit-field its first bit and their number.
type Row = Vec<u64>;

pub(super) fn are_where_the_compiler_has_them(vm: &Vm, guests: &Path) {
    let folder = vm.folder.path();
    if !written_as_c(&guests.join("vmlinux"), &folder.join("kernel.h")) {
        return;
    }
    let (ours, program) = vm.look(|guest, _| known(guest.types().expect("types")));
    let theirs = run(&compiled(folder, &program));
    let theirs: Vec<Row> = theirs.lines().map(row).collect();
    assert_eq!(ours.len(), theirs.len());
    for ((path, ours), theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "{path}");
    }
    assert!(ours.len() >= LEAST, "{} are known", ours.len());
}

/// Those of the members that this kernel has: as they are here, and what prints them in C.
fn known(types: &Types) -> (Vec<(String, Row)>, String) {
    let mut rows = Vec::new();
    let mut lines = String::new();
    for steps in MEMBERS {
        let path = path(steps);
        let Ok(field) = types.field(&path) else {
            continue;
        };
        let mut row = field.hops;
        row.extend([field.offset, field.size]);
        rows.push((path, row));
        lines.extend(steps.iter().map(|(name, member)| {
            format!("    printf(\"%lu \", __builtin_offsetof(struct {name}, {member}));\n")
        }));
        let (name, member) = steps[steps.len() - 1];
        lines += &format!("    printf(\"%lu\\n\", sizeof(((struct {name} *)0)->{member}));\n");
    }
    for (name, member) in BITS {
        let path = format!("{name}.{member}");
        let Ok(field) = types.field(&path) else {
            continue;
        };
        let bits = field
            .bits
            .unwrap_or_else(|| panic!("{path} is no bit-field"));
        let first = field.offset * 8 + u64::from(bits.shift);
        rows.push((path, vec![first, bits.width.into()]));
        lines += &format!("    BITS({name}, {member});\n");
    }
    (rows, lines)
}

fn path(steps: Steps) -> String {
    let members = steps.iter().map(|(_, member)| *member);
    let names: Vec<_> = [steps[0].0].into_iter().chain(members).collect();
    names.join(".")
}

/// A program that prints all of it: a bit-field is found by setting it in a structure of zeros.
fn compiled(folder: &Path, lines: &str) -> PathBuf {
    let source = folder.join("members.c");
    let text = format!(
        "#define BPF_NO_PRESERVE_ACCESS_INDEX
#include \"kernel.h\"
int printf(const char *, ...);
static void bits(const unsigned char *bytes, unsigned long size) {{
    unsigned long first = 0, count = 0;
    for (unsigned long at = 0; at < size * 8; at++)
        if (bytes[at / 8] >> at % 8 & 1)
            first = count++ ? first : at;
    printf(\"%lu %lu\\n\", first, count);
}}
#define BITS(name, member) do {{ \\
    static struct name all; \\
    all.member = ~0; \\
    bits((const unsigned char *)&all, sizeof all); \\
}} while (0)
int main(void) {{
{lines}    return 0;
}}
"
    );
    std::fs::write(&source, text).expect("a file");
    let program = folder.join("members");
    let mut cc = Command::new("cc");
    cc.arg("-w").arg("-o").arg(&program).arg(&source);
    assert!(cc.status().expect("a compiler").success());
    program
}

/// Whether bpftool is there, and has written the types of this file.
fn written_as_c(vmlinux: &Path, header: &Path) -> bool {
    let bpftool = ["bpftool", "/usr/sbin/bpftool"]
        .into_iter()
        .find(|program| {
            let mut version = Command::new(program);
            version
                .arg("version")
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            version.status().is_ok_and(|status| status.success())
        });
    let Some(bpftool) = bpftool else {
        eprintln!("SKIPPED: there is no bpftool: run `cargo xtask setup`");
        return false;
    };
    let out = File::create(header).expect("a file");
    let mut dump = Command::new(bpftool);
    dump.args(["btf", "dump", "file"])
        .arg(vmlinux)
        .args(["format", "c"]);
    let status = dump.stdout(out).status().expect("bpftool");
    assert!(status.success(), "bpftool reads the kernel's file");
    true
}

fn run(program: &Path) -> String {
    let output = Command::new(program).output().expect("it was just made");
    String::from_utf8(output.stdout).expect("numbers")
}

fn row(line: &str) -> Row {
    let numbers = line.split_whitespace().map(str::parse);
    numbers.collect::<Result<_, _>>().expect("numbers")
}
