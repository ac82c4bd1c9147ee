//! What a subcommand runs on: an async runtime, until it ends by itself or a signal ends it.

use std::error::Error;
use std::io;

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

/// Ctrl-C, or a supervisor's wish to end. Where the system gives no signals it never comes.
///
/// Signals are caught from this call on, not only from when its future is first awaited: whoever calls
/// it before it says that it is up ends in order from then on.
pub(super) fn stop_signal() -> impl Future<Output = ()> + Send + 'static {
    stop_signals(1)
}

/// The same `count` times.
pub(super) fn stop_signals(count: usize) -> impl Future<Output = ()> + Send + 'static {
    async fn next(caught: &mut io::Result<Signal>) {
        match caught {
            Ok(signal) => {
                signal.recv().await;
            }
            Err(error) => {
                tracing::warn!(error = &*error as &dyn Error, "signals cannot be waited for");
                std::future::pending::<()>().await;
            }
        }
    }
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async move {
        for _ in 0..count {
            tokio::select! {
                () = next(&mut interrupt) => {}
                () = next(&mut terminate) => {}
            }
        }
    }
}
