//! Where what is in tasks. Owns the names of the members, in the kernels that name them otherwise
//! too.

use serde::Serialize;

use crate::{
    answer::{Source, Unknown},
    btf::Types,
    record::Stretch,
};

/// Offset and size of a member.
pub(crate) type Place = (u64, u64);

/// Offsets in `task_struct` and what it points at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Layout {
    pub(crate) tasks: u64,
    pub(crate) pid: u64,
    pub(crate) tgid: u64,
    pub(crate) comm: Place,
    pub(crate) real_parent: Option<u64>,
    pub(crate) cred: Option<u64>,
    pub(crate) mm: Option<u64>,
    pub(crate) state: Option<Place>,
    pub(crate) exit_state: Option<u64>,
    pub(crate) flags: Option<u64>,
    pub(crate) start_time: Option<u64>,
    /// The pointer to what threads share, the list's head there, and a thread's own entry.
    pub(crate) threads: Option<Threads>,
    pub(crate) pid_links: Option<u64>,
    pub(crate) pgd: Option<u64>,
    pub(crate) credentials: Option<Credentials>,
    #[serde(skip)]
    pub(crate) stretch: Stretch,
    #[serde(skip)]
    pub(crate) is_guessed: bool,
}

/// The list of a process's threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Threads {
    pub(crate) signal: u64,
    pub(crate) head: u64,
    pub(crate) node: u64,
}

/// Offsets in `cred`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Credentials {
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) euid: u64,
    pub(crate) egid: u64,
    pub(crate) effective: u64,
    pub(crate) permitted: u64,
}

impl Layout {
    /// By the kernel's own types.
    pub(crate) fn of(types: &Types) -> Result<Self, Unknown> {
        let must = |name: &str| types.offset(&format!("task_struct.{name}"));
        let may = |name: &str| must(name).ok();
        let layout = Self {
            tasks: must("tasks")?,
            pid: must("pid")?,
            tgid: must("tgid")?,
            comm: place(types, "task_struct.comm")?,
            real_parent: may("real_parent"),
            cred: may("cred"),
            mm: may("mm"),
            // `state` until 5.13.
            state: place(types, "task_struct.__state")
                .or_else(|_| place(types, "task_struct.state"))
                .ok(),
            exit_state: may("exit_state"),
            flags: may("flags"),
            start_time: may("start_time"),
            threads: threads(types).ok(),
            pid_links: may("pid_links"),
            pgd: types.offset("mm_struct.pgd").ok(),
            credentials: credentials(types).ok(),
            ..Self::default()
        };
        Ok(layout.finished())
    }

    /// With the stretch that all of it lies in.
    pub(crate) fn finished(mut self) -> Self {
        let pointers = [self.real_parent, self.cred, self.mm, self.start_time];
        let words = [self.exit_state, self.flags, Some(self.pid), Some(self.tgid)];
        let pointers = pointers.into_iter().flatten().map(|offset| (offset, 8));
        let words = words.into_iter().flatten().map(|offset| (offset, 4));
        let others = [Some(self.comm), self.state].into_iter().flatten();
        self.stretch = Stretch::over(pointers.chain(words).chain(others));
        self
    }

    /// How it is known.
    pub(crate) const fn source(&self) -> Source {
        if self.is_guessed {
            Source::Shape
        } else {
            Source::Btf
        }
    }
}

fn place(types: &Types, path: &str) -> Result<Place, Unknown> {
    let field = types.field(path)?;
    Ok((field.offset, field.size))
}

fn threads(types: &Types) -> Result<Threads, Unknown> {
    Ok(Threads {
        signal: types.offset("task_struct.signal")?,
        head: types.offset("signal_struct.thread_head")?,
        node: types.offset("task_struct.thread_node")?,
    })
}

fn credentials(types: &Types) -> Result<Credentials, Unknown> {
    let of = |name: &str| types.offset(&format!("cred.{name}"));
    Ok(Credentials {
        uid: of("uid")?,
        gid: of("gid")?,
        euid: of("euid")?,
        egid: of("egid")?,
        effective: of("cap_effective")?,
        permitted: of("cap_permitted")?,
    })
}
