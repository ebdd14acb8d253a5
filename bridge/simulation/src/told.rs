//! What a worker was told, above all faults: a failure that it met, and nothing else, justifies a letter that says so.

use std::sync::Arc;

use bridge_adapters::layer::{Answers, Call, Layer, OnMany};
use bridge_core::{
    failure::{PortError, Recovery},
    incident::{Incident, Incidents},
};

use crate::books::{Books, Line, Met};

/// Writes down every failure that the worker of a site meets on one of its lines.
#[derive(Debug)]
pub struct Told {
    books: Arc<Books>,
    site: usize,
    line: Line,
}

/// A call that has no answer yet. One that is dropped had none, and counts as failed.
struct Asked<'a> {
    told: &'a Told,
    answered: bool,
}

impl Told {
    /// Listens on this line of the worker of `site`.
    pub fn new(books: Arc<Books>, site: usize, line: Line) -> Self {
        Self { books, site, line }
    }

    fn ask(&self) -> Asked<'_> {
        Asked { told: self, answered: false }
    }
}

impl Asked<'_> {
    fn answer(mut self, error: Option<&PortError>) {
        self.answered = true;
        self.note(error);
    }

    fn answer_all<A>(mut self, answers: &Answers<A>) {
        self.answered = true;
        for answer in answers {
            self.note(answer.as_ref().err());
        }
    }

    fn note(&self, error: Option<&PortError>) {
        let met = match error.map(|error| error.kind.recovery()) {
            None => Met::Answer,
            Some(Recovery::Retry) => Met::Passing,
            Some(Recovery::DeadLetter) => Met::Refused,
            Some(Recovery::Halt) => Met::Halting,
        };
        self.told.books.met(self.told.site, self.told.line, met);
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.told.books.met(self.told.site, self.told.line, Met::Passing);
        }
    }
}

impl Layer for Told {
    async fn one<T: Send>(
        &self,
        _: Call<'_>,
        running: impl Future<Output = Result<T, PortError>> + Send,
        _: impl Fn(&T) -> usize + Send,
    ) -> Result<T, PortError> {
        let asked = self.ask();
        let answer = running.await;
        asked.answer(answer.as_ref().err());
        answer
    }

    async fn many<P: ?Sized + Sync, I: Clone + Send + Sync, A: Send>(
        &self,
        _: Call<'_>,
        port: &P,
        items: &[I],
        run: OnMany<P, I, A>,
    ) -> Answers<A> {
        let asked = self.ask();
        let answers = run(port, items).await;
        asked.answer_all(&answers);
        answers
    }
}

/// Tells the trace of what a worker or the operator reports.
#[derive(Debug)]
pub struct Reports {
    books: Arc<Books>,
    who: String,
}

impl Reports {
    /// What this one reports.
    pub fn of(books: &Arc<Books>, who: String) -> Arc<Self> {
        Arc::new(Self { books: Arc::clone(books), who })
    }
}

impl Incidents for Reports {
    fn report(&self, incident: Incident<'_>) {
        self.books.note(|| format!("{} reports {incident:?}", self.who));
    }
}
