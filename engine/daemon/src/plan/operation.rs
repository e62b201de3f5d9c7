//! How policies may be changed while the guest runs: flags and configuration, resolved.

use std::path::PathBuf;

use super::Usage;
use crate::{args::OperationArgs, config::VmConfig};

/// How policies may be changed while the guest runs.
#[derive(Debug, Default)]
pub(crate) struct Operation {
    /// Where the control socket is.
    pub(crate) control: Option<PathBuf>,
    pub(crate) state: Option<StatePlan>,
    pub(crate) watch: Option<WatchPlan>,
}

/// Where the policies in force are kept.
#[derive(Clone, Debug)]
pub(crate) struct StatePlan {
    pub(crate) directory: PathBuf,
    /// What is kept there does not count.
    pub(crate) reset: bool,
}

/// A directory whose files are policies.
#[derive(Clone, Debug)]
pub(crate) struct WatchPlan {
    pub(crate) directory: PathBuf,
    /// A file that is removed takes its policy along.
    pub(crate) unload: bool,
}

impl Operation {
    pub(super) fn resolve(args: OperationArgs, vm: &VmConfig) -> Result<Self, Usage> {
        let state = args.state.or_else(|| vm.state.clone());
        let watch = args.watch.or_else(|| vm.watch.clone());
        let unload = args.watch_unload || vm.watch_unload.unwrap_or(false);
        if args.state_reset && state.is_none() {
            return Err(Usage("--state-reset of what? Add `--state DIR`".to_owned()));
        }
        if unload && watch.is_none() {
            return Err(Usage(
                "--watch-unload of what? Add `--watch DIR`".to_owned(),
            ));
        }
        Ok(Self {
            control: args.control.or_else(|| vm.control.clone()),
            state: state.map(|directory| StatePlan {
                directory,
                reset: args.state_reset,
            }),
            watch: watch.map(|directory| WatchPlan { directory, unload }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_override_the_configuration() {
        let vm = VmConfig {
            control: Some("configured".into()),
            watch: Some("plugins".into()),
            ..VmConfig::default()
        };
        let args = OperationArgs {
            control: Some("typed".into()),
            watch_unload: true,
            ..OperationArgs::default()
        };
        let plan = Operation::resolve(args, &vm).unwrap();
        assert_eq!(plan.control, Some("typed".into()));
        assert!(plan.watch.is_some_and(|watch| watch.unload));
    }

    #[test]
    fn a_flag_about_a_directory_needs_the_directory() {
        let reset = OperationArgs {
            state_reset: true,
            ..OperationArgs::default()
        };
        let unload = OperationArgs {
            watch_unload: true,
            ..OperationArgs::default()
        };
        for (args, wanted) in [(reset, "--state DIR"), (unload, "--watch DIR")] {
            let error = Operation::resolve(args, &VmConfig::default()).unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }
}
