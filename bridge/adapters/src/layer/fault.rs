//! Faults in front of any adapter: failures before and after the effect, lost requests, lost answers, partial batches.
//!
//! The plan says what goes wrong; this carries it out. For tests and the simulation: no deployable wires it.

use std::{future::pending, sync::Arc, time::Duration};

use bridge_core::{
    failure::{FailureKind, PortError},
    port::Clock,
};

pub use super::fault_plan::{Fault, FaultPlan, Rule};
use super::{
    Operation,
    layered::{Answers, Call, Layer, OnMany},
};

/// What a layer does around one call on one thing.
enum Course {
    /// Makes the call, then waits.
    Go(Duration),
    /// Fails without the call.
    Refuse(FailureKind),
    /// Makes the call, then fails.
    Hide(FailureKind),
    /// Makes the call if asked to, and never ends.
    Hang { call: bool },
}

/// Makes calls go wrong as a plan has it. A close always goes well.
#[derive(Clone, Debug)]
pub struct Faults {
    plan: Arc<FaultPlan>,
    clock: Arc<dyn Clock>,
}

impl Faults {
    /// The faults of `plan`, in the time of `clock`.
    pub fn new(plan: Arc<FaultPlan>, clock: Arc<dyn Clock>) -> Self {
        Self { plan, clock }
    }

    fn course(&self, operation: Operation) -> Course {
        match self.plan.judge(operation) {
            None => Course::Go(Duration::ZERO),
            Some(Fault::Before(kind)) => Course::Refuse(kind),
            Some(Fault::After(kind)) => Course::Hide(kind),
            Some(Fault::Lost) => Course::Hang { call: false },
            Some(Fault::Unanswered) => Course::Hang { call: true },
            Some(Fault::Late(pause)) => Course::Go(pause),
            Some(Fault::Items { share, kind, after }) => match (self.plan.draw(1, share)[0], after) {
                (false, _) => Course::Go(Duration::ZERO),
                (true, false) => Course::Refuse(kind),
                (true, true) => Course::Hide(kind),
            },
        }
    }

    async fn pause(&self, pause: Duration) {
        if !pause.is_zero() {
            self.clock.sleep(pause).await;
        }
    }
}

fn failure(call: Call<'_>, kind: FailureKind) -> PortError {
    call.failed(kind).caused_by("a fault of the plan")
}

impl Layer for Faults {
    async fn one<T: Send>(
        &self,
        call: Call<'_>,
        running: impl Future<Output = Result<T, PortError>> + Send,
        _: impl Fn(&T) -> usize + Send,
    ) -> Result<T, PortError> {
        if call.operation == Operation::Close {
            return running.await;
        }
        match self.course(call.operation) {
            Course::Go(pause) => {
                let answer = running.await;
                self.pause(pause).await;
                answer
            }
            Course::Refuse(kind) => Err(failure(call, kind)),
            Course::Hide(kind) => {
                running.await?;
                Err(failure(call, kind))
            }
            Course::Hang { call: makes } => {
                if makes {
                    let _unanswered = running.await;
                }
                pending().await
            }
        }
    }

    async fn many<P: ?Sized + Sync, I: Clone + Send + Sync, A: Send>(
        &self,
        call: Call<'_>,
        port: &P,
        items: &[I],
        run: OnMany<P, I, A>,
    ) -> Answers<A> {
        let fail = |kind: &FailureKind| Err(failure(call, kind.clone()));
        match self.plan.judge(call.operation) {
            None => run(port, items).await,
            Some(Fault::Before(kind)) => items.iter().map(|_| fail(&kind)).collect(),
            Some(Fault::After(kind)) => {
                let answers = run(port, items).await;
                answers.into_iter().map(|answer| answer.and_then(|_| fail(&kind))).collect()
            }
            Some(Fault::Lost) => pending().await,
            Some(Fault::Unanswered) => {
                run(port, items).await;
                pending().await
            }
            Some(Fault::Late(pause)) => {
                let answers = run(port, items).await;
                self.pause(pause).await;
                answers
            }
            Some(Fault::Items { share, kind, after }) => {
                let struck = self.plan.draw(items.len(), share);
                let reaches = |struck: &bool| after || !struck;
                let sent = items.iter().zip(&struck).filter(|(_, struck)| reaches(struck));
                let sent: Vec<I> = sent.map(|(item, _)| item.clone()).collect();
                let mut answers = run(port, &sent).await.into_iter();
                let merge = |struck: &bool| {
                    let answer = if reaches(struck) { answers.next() } else { None };
                    match answer {
                        Some(Err(error)) => Err(error),
                        Some(Ok(answer)) if !struck => Ok(answer),
                        _ => fail(&kind),
                    }
                };
                struck.iter().map(merge).collect()
            }
        }
    }
}
