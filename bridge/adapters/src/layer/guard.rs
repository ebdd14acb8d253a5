//! A panic below a port is a failure of that call: it halts with its cause, instead of ending the worker or a command.
//!
//! SDKs panic at settings that they cannot use, and so at every call again. The panic's own message, with its place, goes to standard
//! error as ever.

use std::panic::AssertUnwindSafe;

use bridge_core::failure::{FailureKind, PortError};
use futures_util::FutureExt;

use super::layered::{Answers, Call, Layer, OnMany};

/// Ends each call with an answer.
#[derive(Clone, Copy, Debug)]
pub struct Guard;

impl Layer for Guard {
    async fn one<T: Send>(
        &self,
        call: Call<'_>,
        running: impl Future<Output = Result<T, PortError>> + Send,
        _: impl Fn(&T) -> usize + Send,
    ) -> Result<T, PortError> {
        guarded(running).await.unwrap_or_else(|kind| Err(call.failed(kind)))
    }

    async fn many<P: ?Sized + Sync, I: Clone + Send + Sync, A: Send>(
        &self,
        call: Call<'_>,
        port: &P,
        items: &[I],
        run: OnMany<P, I, A>,
    ) -> Answers<A> {
        let answers = guarded(run(port, items)).await;
        answers.unwrap_or_else(|kind| items.iter().map(|_| Err(call.failed(kind.clone()))).collect())
    }
}

/// What it comes to, or the panic that ended it.
pub(crate) async fn guarded<T>(running: impl Future<Output = T>) -> Result<T, FailureKind> {
    AssertUnwindSafe(running).catch_unwind().await.map_err(|panic| {
        let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
        FailureKind::Panicked { detail: words.unwrap_or_else(|| "without words".to_owned()) }
    })
}
