//! What the clouds and the hosts hand to the adapters.

pub(crate) mod amqp_answer;
pub(crate) mod amqp_message;
pub(crate) mod amqp_stream;
pub(crate) mod connection_string;
pub(crate) mod cosmos_item;
pub(crate) mod cursor;
pub(crate) mod dynamodb_item;
pub(crate) mod file;
pub(crate) mod function_payload;
pub(crate) mod lambda_event;
pub(crate) mod queue_facts;
pub(crate) mod retry_after;
pub(crate) mod sqs_message;
