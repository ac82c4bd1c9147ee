//! The servers that the URL names because they know where others are: seeds of a cluster, or sentinels. One that is silent
//! must not cost every connection its whole timeout: the next one is asked after a moment, and who answered last is asked
//! first the next time.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::{ConnectionInfo, RedisError};

use super::error::unexpected;
use crate::config::SEED_SILENT_MAX;

/// In the order of the URL.
#[derive(Debug)]
pub(super) struct Seeds {
    servers: Vec<ConnectionInfo>,
    /// Who is asked first.
    first: AtomicUsize,
}

/// What one of them said.
#[derive(Debug)]
pub(super) enum SeedAnswer<T> {
    /// Nobody else need be asked.
    Sure(T),
    /// It counts where nobody is sure.
    Unsure(T),
}

impl Seeds {
    pub(super) fn new(servers: Vec<ConnectionInfo>) -> Self {
        Self { servers, first: AtomicUsize::new(0) }
    }

    pub(super) fn servers(&self) -> &[ConnectionInfo] {
        &self.servers
    }

    /// Asks one after the other, the next one as soon as one is unsure, has failed, or was silent for [`SEED_SILENT_MAX`],
    /// and takes the first sure answer; else the first unsure one.
    ///
    /// # Errors
    /// None answers: the first error.
    pub(super) async fn ask<'a, T, F>(&'a self, ask: impl Fn(&'a ConnectionInfo) -> F) -> Result<T, RedisError>
    where
        F: Future<Output = Result<SeedAnswer<T>, RedisError>>,
    {
        let (count, first) = (self.servers.len(), self.first.load(Ordering::Relaxed));
        let mut next = (0..count).map(|n| (first + n) % count);
        let mut asked = FuturesUnordered::new();
        let mut otherwise = Err(unexpected("no server is named"));
        let mut has_failed = false;
        loop {
            if let Some(at) = next.next() {
                let answer = ask(&self.servers[at]);
                asked.push(async move { (at, answer.await) });
            }
            tokio::select! {
                answer = asked.next() => match answer {
                    Some((at, Ok(SeedAnswer::Sure(told)))) => {
                        self.first.store(at, Ordering::Relaxed);
                        return Ok(told);
                    }
                    Some((_, Ok(SeedAnswer::Unsure(told)))) if otherwise.is_err() => otherwise = Ok(told),
                    Some((_, Err(error))) if !has_failed && otherwise.is_err() => {
                        (otherwise, has_failed) = (Err(error), true);
                    }
                    Some(_) => {}
                    None => return otherwise,
                },
                () = tokio::time::sleep(SEED_SILENT_MAX), if next.len() > 0 => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redis::IntoConnectionInfo as _;
    use tokio::time::Instant;

    use super::*;

    /// What each says: `Err` of nothing for one that hangs.
    type Said = Result<SeedAnswer<usize>, &'static str>;

    fn seeds(count: usize) -> Seeds {
        let server = |n: usize| format!("redis://127.0.0.1:{}", n + 1).into_connection_info().unwrap();
        Seeds::new((0..count).map(server).collect())
    }

    /// Asks, and answers how long it took, too.
    async fn ask(seeds: &Seeds, says: impl Fn(usize) -> Said) -> (Result<usize, String>, Duration) {
        let began = Instant::now();
        let answer = seeds.ask(|server| {
            let at = seeds.servers().iter().position(|one| one.addr() == server.addr()).unwrap();
            let said = says(at);
            async move {
                match said {
                    Ok(told) => Ok(told),
                    Err("") => std::future::pending().await,
                    Err(what) => Err(std::io::Error::other(what).into()),
                }
            }
        });
        (answer.await.map_err(|error| error.to_string()), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_costs_a_moment_and_only_the_first_time() {
        let seeds = seeds(3);
        let says = |at: usize| if at < 2 { Err("") } else { Ok(SeedAnswer::Sure(at)) };
        let (answer, took) = ask(&seeds, says).await;
        assert_eq!(answer, Ok(2));
        assert!(took >= 2 * SEED_SILENT_MAX && took < 3 * SEED_SILENT_MAX, "{took:?}");
        assert_eq!(ask(&seeds, says).await, (Ok(2), Duration::ZERO));
        // It hangs itself now, and one of the others is there again.
        let (answer, took) = ask(&seeds, |at| if at == 1 { Ok(SeedAnswer::Sure(at)) } else { Err("") }).await;
        assert_eq!(answer, Ok(1));
        assert!(took < 3 * SEED_SILENT_MAX, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_sure_counts_before_one_that_is_not_and_that_before_an_error() {
        let seeds = seeds(3);
        let sure = |at: usize| if at == 2 { Ok(SeedAnswer::Sure(at)) } else { Ok(SeedAnswer::Unsure(at)) };
        assert_eq!(ask(&seeds, sure).await, (Ok(2), Duration::ZERO));
        // It is asked first, and the first of the others after it.
        let unsure = |at: usize| if at == 2 { Err("away") } else { Ok(SeedAnswer::Unsure(at)) };
        assert_eq!(ask(&seeds, unsure).await, (Ok(0), Duration::ZERO));
        let (answer, took) = ask(&seeds, |at| if at == 1 { Err("away") } else { Err("gone") }).await;
        assert!(answer.is_err_and(|error| error.contains("gone")) && took.is_zero());
    }
}
