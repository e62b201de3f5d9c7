//! What QEMU 7.2 says to a debugger that attaches, breaks, steps, watches and leaves.

use oriel_machine::qemu::packet::framed;

/// A description of a few registers, as QEMU hands it out.
const REGISTERS: &str = r#"<?xml version="1.0"?><!-- x86_64 64bit --><feature name="org.gnu.gdb.i386.core">
<reg name="rax" bitsize="64" type="int64" regnum="0"/><reg name="rip" bitsize="64" type="code_ptr"/>
<reg name="eflags" bitsize="32" type="x64_eflags"/><reg name="st0" bitsize="80" type="i387_ext"/></feature>"#;

/// Each answer, in order.
const ANSWERS: [&str; 12] = [
    "T02thread:01;",
    "PacketSize=1000;qXfer:features:read+;vContSupported+;multiprocess+",
    "T05thread:01;",
    "m01",
    "m02",
    "l",
    "OK",
    "E14",
    "T05thread:02;",
    "T05thread:01;watch:ffffffff82a079c0;",
    "T05thread:p01.02;rwatch:1000;",
    "W00",
];

/// The names and bytes of the seeds.
pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let answers = ANSWERS.iter().map(|answer| framed(answer));
    let conversation = answers.flat_map(|packet| [b"+".to_vec(), packet]).flatten();
    let target =
        "l<target><architecture>i386:x86-64</architecture><xi:include href=\"core.xml\"/></target>";
    vec![
        ("qemu", conversation.collect()),
        ("target", framed(target)),
        ("registers", REGISTERS.as_bytes().to_vec()),
        ("folded", b"$0* }\x03*!#7e".to_vec()),
    ]
}
