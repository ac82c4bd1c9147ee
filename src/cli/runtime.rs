//! What a subcommand runs on: an async runtime, until it ends by itself or a signal ends it.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::{CommandError, CommandFailure};

/// The system gives no runtime.
#[derive(Debug, thiserror::Error)]
#[error("the program cannot start its runtime")]
pub(super) struct RuntimeError(#[source] io::Error);

impl CommandError for RuntimeError {}

/// Runs a subcommand that needs no more than one thread.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T, CommandFailure>>) -> Result<T, CommandFailure> {
    Builder::new_current_thread().enable_all().build().map_err(RuntimeError)?.block_on(future)
}

/// Runs a subcommand that is a whole service, on as many threads as there are processors.
pub(super) fn block_on_threads<T>(
    future: impl Future<Output = Result<T, CommandFailure>>,
) -> Result<T, CommandFailure> {
    Builder::new_multi_thread().enable_all().build().map_err(RuntimeError)?.block_on(future)
}

/// Raises the limit of open files as far as the system lets this process, and returns it. Shells and supervisors start
/// programs with a low one for the sake of those that cannot count further.
pub(super) fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let (from, to) = (limit.current, limit.maximum);
    if from != to {
        match setrlimit(Resource::Nofile, Rlimit { current: to, ..limit }) {
            Ok(()) => tracing::info!(from = shown(from), to = shown(to), "The limit of open files is raised."),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn Error,
                    from = shown(from),
                    "The limit of open files stays as it is."
                );
            }
        }
    }
    let now = getrlimit(Resource::Nofile).current;
    now.and_then(|now| usize::try_from(now).ok()).unwrap_or(usize::MAX)
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

/// Ctrl-C, a supervisor's wish to end, or the end of the terminal, unless that is not to be noticed (`nohup`). Where the
/// system gives no signals it never comes.
///
/// Signals are caught from this call on, not only from when its future is first awaited: whoever calls
/// it before it says that it is up ends in order from then on.
pub(super) fn stop_signal() -> impl Future<Output = ()> + Send + 'static {
    stop_signals(1)
}

/// The same `count` times.
pub(super) fn stop_signals(count: usize) -> impl Future<Output = ()> + Send + 'static {
    let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
    // Elsewhere it cannot be told whether it was to be ignored.
    if cfg!(target_os = "linux") && !is_hangup_ignored() {
        kinds.push(SignalKind::hangup());
    }
    let mut caught: Vec<Signal> = kinds
        .into_iter()
        .filter_map(|kind| {
            let report = |error: &io::Error| {
                tracing::warn!(
                    error = error as &dyn Error,
                    "A signal cannot be waited for; it ends the program at once."
                );
            };
            signal(kind).inspect_err(report).ok()
        })
        .collect();
    async move {
        for _ in 0..count {
            poll_fn(|context| match caught.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
        }
    }
}

/// Whether the end of the terminal was to be ignored when the program began. To catch it would end what was started so that
/// it outlives its terminal.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    // Signal 1 is the lowest bit (proc_pid_status(5)).
    ignored & 1 == 1
}
