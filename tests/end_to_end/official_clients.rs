//! Each service of localcloud, held to what its official clients may expect of it (tests/clients/checks).

use std::process::Command;

use crate::program::{Clouds, must, node, python};

/// Runs all checks of a script, against clouds of its own.
fn passes(script: &mut Command) {
    let clouds = Clouds::start(&["--without-workers"]);
    must(script.arg(clouds.ready_file()));
}

fn checked_by_python(service: &str) {
    passes(python("checks/run.py").arg(service));
}

fn checked_by_node(service: &str) {
    passes(&mut node(&format!("checks/node/{service}.mjs")));
}

#[test]
fn sqs_satisfies_boto3() {
    checked_by_python("sqs");
}

#[test]
fn dynamodb_satisfies_boto3() {
    checked_by_python("dynamodb");
}

#[test]
fn service_bus_satisfies_azure_servicebus() {
    checked_by_python("service_bus");
}

#[test]
fn cosmos_satisfies_azure_cosmos() {
    checked_by_python("cosmos");
}

#[test]
fn sqs_satisfies_aws_sdk_client_sqs() {
    checked_by_node("sqs");
}

#[test]
fn dynamodb_satisfies_aws_sdk_client_dynamodb() {
    checked_by_node("dynamodb");
}

#[test]
fn service_bus_satisfies_azure_service_bus_for_node() {
    checked_by_node("service_bus");
}

#[test]
fn cosmos_satisfies_azure_cosmos_for_node() {
    checked_by_node("cosmos");
}
