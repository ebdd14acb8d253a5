//! The actions of SQS for `tests/fuzz`, which has no other way to them without a socket. Nothing else may use this.

use std::{net::Ipv4Addr, sync::Arc};

use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};

use super::{
    SqsOptions,
    service::{Action, Service},
};
use crate::fault::Faults;

/// A service without a port, with two queues, one of them FIFO.
pub struct Actions {
    runtime: Runtime,
    service: Arc<Service>,
}

impl Default for Actions {
    fn default() -> Self {
        let service = Service::new(&SqsOptions {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            region: "us-east-1".to_owned(),
            account: "000000000000".to_owned(),
            access_key_id: "local".to_owned(),
            faults: Faults::new(1),
        });
        "http://127.0.0.1:1".clone_into(&mut service.registry().place.endpoint);
        for (name, attributes) in [("q", &[][..]), ("q.fifo", &[("FifoQueue", "true")])] {
            service.create_queue(name, attributes).expect("both are good");
        }
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime of this thread");
        Self { runtime, service: Arc::new(service) }
    }
}

impl Actions {
    /// Does one action; the status of its answer, none of an action that is unknown, or that waits for messages.
    pub fn ask(&self, action: &str, body: &[u8]) -> Option<u16> {
        let action = Action::parse(action)?;
        let answer = async { self.service.perform(action, body).now_or_never() };
        let answer = self.runtime.block_on(answer)?;
        Some(answer.unwrap_or_else(super::SqsError::into_response).status().as_u16())
    }
}
