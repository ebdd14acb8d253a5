//! Each service of localcloud, held to what its official clients may expect of it (tests/clients/checks).

use crate::program::{Clouds, must, python};

fn checked_by_python(service: &str) {
    let clouds = Clouds::start(&["--without-workers"]);
    let output = must(python("checks/run.py").arg(service).arg(clouds.ready_file()));
    print!("{}", String::from_utf8_lossy(&output.stdout));
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
