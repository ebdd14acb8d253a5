//! A look at a table's shape that all its writers share.

use std::time::{Duration, Instant};

use bridge_core::failure::PortError;
use tokio::sync::Mutex;

/// For how long a look counts. Ours: no table is deleted and made again in less, and a worker without a pause looks once a second.
const FRESH: Duration = Duration::from_secs(1);

/// The last look at a table's shape.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    last: Mutex<Option<Seen>>,
}

#[derive(Debug)]
struct Seen {
    began: Instant,
    ended: Instant,
    answer: Result<(), PortError>,
}

impl Seen {
    /// Whether this answers who asks at `asked`. A failure answers those alone who waited for it, so that they do not wait one after the
    /// other for a table that is away.
    fn answers(&self, asked: Instant) -> bool {
        match self.answer {
            Ok(()) => asked < self.began + FRESH,
            Err(_) => asked <= self.ended,
        }
    }
}

impl Shape {
    /// What `look` comes to, or what the last look did if it still counts.
    pub(crate) async fn confirm(&self, look: impl Future<Output = Result<(), PortError>>) -> Result<(), PortError> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some(seen) = last.as_ref().filter(|seen| seen.answers(asked)) {
            return seen.answer.clone();
        }
        let began = Instant::now();
        let answer = look.await;
        *last = Some(Seen { began, ended: Instant::now(), answer: answer.clone() });
        answer
    }

    /// Lets no look count that was.
    pub(crate) async fn forget(&self) {
        *self.last.lock().await = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use bridge_core::failure::FailureKind;
    use futures_util::future::join_all;

    use super::*;

    fn away() -> PortError {
        PortError::new("a table", "look", FailureKind::Unavailable)
    }

    #[test]
    fn a_good_look_counts_for_a_while_and_a_failed_one_for_who_waited() {
        let began = Instant::now();
        let ended = began + FRESH * 3;
        let good = Seen { began, ended, answer: Ok(()) };
        assert!(good.answers(began) && good.answers(began + FRESH / 2));
        assert!(!good.answers(began + FRESH), "it counts from its beginning, after which the store may have changed");
        let failed = Seen { began, ended, answer: Err(away()) };
        assert!(failed.answers(began) && failed.answers(ended));
        assert!(!failed.answers(ended + Duration::from_nanos(1)));
    }

    #[tokio::test]
    async fn many_who_ask_at_once_share_one_look() {
        for answer in [Ok(()), Err(away())] {
            let (shape, looks) = (Shape::default(), AtomicU32::new(0));
            let look = async || {
                looks.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                answer.clone()
            };
            let answers = join_all((0..20).map(|_| shape.confirm(look()))).await;
            assert!(answers.iter().all(|one| one.is_ok() == answer.is_ok()));
            assert_eq!(looks.load(Ordering::Relaxed), 1);
        }
    }

    #[tokio::test]
    async fn what_was_forgotten_is_looked_at_again() {
        let shape = Shape::default();
        shape.confirm(async { Ok(()) }).await.unwrap();
        shape.confirm(async { Err(away()) }).await.unwrap();
        shape.forget().await;
        shape.confirm(async { Err(away()) }).await.unwrap_err();
        shape.confirm(async { Ok(()) }).await.unwrap();
    }
}
