//! The REST side's part of [`service_bus::fuzzing`](crate::service_bus::fuzzing).

use bytes::Bytes;

use super::{manage, properties, send};
use crate::service_bus::QueueSettings;

pub(in crate::service_bus) fn batch(body: &[u8]) -> Option<Vec<Bytes>> {
    send::batch(body).ok()
}

pub(in crate::service_bus) fn single(header: &[u8]) -> Option<Bytes> {
    let broker = properties::Broker::from_header(header).ok()?;
    let custom = properties::custom_from_header("custom", header).ok()?;
    Some(broker.encode(&[custom], b"body"))
}

pub(in crate::service_bus) fn settings(xml: &str) -> Option<QueueSettings> {
    manage::read_settings(xml, QueueSettings::default()).ok()
}
