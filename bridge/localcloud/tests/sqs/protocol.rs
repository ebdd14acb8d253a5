//! Requests that are wrong, and what the answers say of it.

use super::*;

#[tokio::test]
async fn errors_have_both_names_and_the_services_status() {
    let world = world().await;
    let missing = json!({ "QueueUrl": format!("{}-not-there", world.queue_url), "MessageBody": "x" });
    let answer = world.ask("SendMessage", &missing).await;
    let code = "AWS.SimpleQueueService.NonExistentQueue;Sender";
    assert_eq!(error(&answer), named("com.amazonaws.sqs#QueueDoesNotExist", code, 400));
    assert_eq!(answer.header("content-type"), Some("application/x-amz-json-1.0"));
    assert!(answer.header("x-amzn-requestid").is_some_and(|id| id.len() == 36));
    assert_eq!(answer.json()["message"], "The specified queue does not exist.");

    let garbage = json!({ "QueueUrl": world.queue_url, "ReceiptHandle": "garbage" });
    let answer = world.ask("DeleteMessage", &garbage).await;
    assert_eq!(error(&answer), named("com.amazonaws.sqs#ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid;Sender", 404));

    let answer = world.ask("SendMessage", &json!({})).await;
    let shape = "com.amazon.coral.service#MissingRequiredParameterException";
    assert_eq!(error(&answer), named(shape, "MissingParameter;Sender", 400));
}

#[tokio::test]
async fn whoever_does_not_name_the_key_is_not_let_in() {
    let world = world().await;
    let now = date(SystemTime::now());
    let ask = async |authorization: Option<&str>, date: &str| {
        let mut headers = vec![("x-amz-target", "AmazonSQS.ListQueues"), ("x-amz-date", date)];
        headers.extend(authorization.map(|text| ("authorization", text)));
        error(&request(world.address(), "POST", "/", &headers, b"{}").await.expect("an answer"))
    };
    let coral = |name: &str, code: &str, status| named(&format!("com.amazon.coral.service#{name}"), code, status);
    let missing = coral("MissingAuthenticationTokenException", "MissingAuthenticationToken;Sender", 403);
    assert_eq!(ask(None, &now).await, missing);
    let stranger = coral("UnrecognizedClientException", "InvalidClientTokenId;Sender", 403);
    assert_eq!(ask(Some(&CREDENTIAL.replace("KEY", "OTHER")), &now).await, stranger);
    let mismatch = coral("InvalidSignatureException", "SignatureDoesNotMatch;Sender", 403);
    assert_eq!(ask(Some(&CREDENTIAL.replace("us-east-1", "eu-west-1")), &now).await, mismatch);
    assert_eq!(ask(Some(CREDENTIAL), "20200101T000000Z").await, mismatch);
    let incomplete = coral("IncompleteSignatureException", "IncompleteSignature;Sender", 400);
    assert_eq!(ask(Some("Bearer token"), &now).await, incomplete);
}

#[tokio::test]
async fn what_is_not_a_request_is_answered_and_the_server_lives() {
    let world = world().await;
    let unknown = "com.amazon.coral.service#UnknownOperationException";
    for target in ["AmazonSQS.Explode", "AmazonSQS.", "AmazonSQS", "DynamoDB_20120810.GetItem", "AmazonSQS.sendmessage"]
    {
        let answer = world.send_raw(target, b"{}").await.expect("an answer");
        assert_eq!(error(&answer), named(unknown, "InvalidAction;Sender", 400), "{target}");
    }
    // As a client of the older query protocol asks.
    let now = date(SystemTime::now());
    let headers = [("x-amz-date", now.as_str()), ("authorization", CREDENTIAL)];
    let query = request(world.address(), "POST", "/", &headers, b"Action=ListQueues").await.expect("an answer");
    assert_eq!(error(&query), named(unknown, "InvalidAction;Sender", 400));
    assert!(query.json()["message"].as_str().is_some_and(|message| message.contains("JSON protocol")));

    let serialization = named("com.amazon.coral.service#SerializationException", "MalformedInput;Sender", 400);
    let bodies: [&[u8]; 9] = [
        b"{",
        b"null",
        b"\"text\"",
        b"{\"QueueUrl\": 5}",
        b"{\"QueueUrl\": \"q\", \"MessageBody\": \"\\ud800\"}",
        b"{\"QueueUrl\": \"q\", \"MessageBody\": \"\xff\xfe\"}",
        b"{\"QueueUrl\": \"q\", \"MessageBody\": \"x\", \"DelaySeconds\": 99999999999999999999}",
        b"{\"QueueUrl\": \"q\", \"MessageBody\": \"x\", \"DelaySeconds\": \"1\"}",
        b"{\"QueueUrl\": \"q\", \"MessageBody\": \"x\"} trailing",
    ];
    for body in bodies {
        let answer = world.send_raw("AmazonSQS.SendMessage", body).await.expect("an answer");
        assert_eq!(error(&answer), serialization, "{}", String::from_utf8_lossy(body));
    }
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for field in ["QueueUrl", "MessageAttributes", "Unknown"] {
            let body = format!("{{\"{field}\": {}}}", deep(open, close, 200_000));
            let answer = world.send_raw("AmazonSQS.SendMessage", body.as_bytes()).await.expect("an answer");
            assert_eq!(answer.status, 400, "{field}");
        }
    }
    world.still_serves().await;
}

/// A request with every member that some action reads, so that any action finds some of its own.
fn rich_request(world: &World) -> Value {
    let attribute = json!({ "DataType": "Binary", "BinaryValue": "AAEC" });
    let entry =
        json!({ "Id": "a", "MessageBody": "x", "ReceiptHandle": "AQEB", "VisibilityTimeout": 1, "DelaySeconds": 1 });
    json!({
        "QueueUrl": world.queue_url, "QueueName": "q", "MessageBody": "x", "DelaySeconds": 1,
        "MessageAttributes": { "name": attribute }, "MessageSystemAttributes": { "AWSTraceHeader": attribute },
        "MessageGroupId": "g", "Entries": [entry], "ReceiptHandle": "AQEB", "VisibilityTimeout": 1,
        "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0, "AttributeNames": ["All"], "MessageAttributeNames": ["a.*"],
        "Attributes": { "RedrivePolicy": "{}", "VisibilityTimeout": "30" }, "Tags": { "k": "v" }, "TagKeys": ["k"],
        "MaxResults": 1, "NextToken": "cQ", "SourceArn": "arn:aws:sqs:us-east-1:000000000000:q", "TaskHandle": "e30=",
        "Label": "l", "AWSAccountIds": ["1"], "Actions": ["*"],
    })
}

#[tokio::test]
async fn no_mutilated_request_breaks_an_action() {
    let world = world().await;
    let actions = "AddPermission CancelMessageMoveTask ChangeMessageVisibility ChangeMessageVisibilityBatch \
                   CreateQueue DeleteMessage DeleteMessageBatch GetQueueAttributes GetQueueUrl \
                   ListDeadLetterSourceQueues ListMessageMoveTasks ListQueueTags ListQueues PurgeQueue ReceiveMessage \
                   RemovePermission SendMessage SendMessageBatch SetQueueAttributes StartMessageMoveTask TagQueue \
                   UntagQueue";
    let whole = rich_request(&world).to_string();
    let oddities =
        ["null", "-1", "1e99", "\"\"", "\"\\u0000\"", "[]", "{}", "[[]]", "{\"a\":{}}", "true", "99999999999"];
    let mut rng = fastrand::Rng::with_seed(3);
    for action in actions.split_whitespace() {
        let target = format!("AmazonSQS.{action}");
        for _ in 0..40 {
            let mut request: Value = serde_json::from_str(&whole).expect("JSON");
            for value in request.as_object_mut().expect("an object").values_mut() {
                if rng.f64() < 0.15 {
                    *value = serde_json::from_str(oddities[rng.usize(0..oddities.len())]).expect("JSON");
                }
            }
            request["WaitTimeSeconds"] = json!(0);
            let mut body = request.to_string().into_bytes();
            if rng.bool() {
                let place = rng.usize(0..body.len());
                body[place] = rng.u8(..);
            }
            let answer = world.send_raw(&target, &body).await.expect("an answer");
            assert!(answer.status < 500, "{target} {}", String::from_utf8_lossy(&body));
        }
    }
    assert!(world.faults.counts().iter().filter(|one| one.status == "200").count() > 5, "most actions never succeeded");
}

#[tokio::test]
async fn bytes_that_are_no_http_do_no_harm() {
    let world = world().await;
    throw_garbage(world.address()).await;
    world.still_serves().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let world = world().await;
    let address = world.address();
    let head = "POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: AmazonSQS.SendMessage\r\n";
    let start = Instant::now();
    let declared = exchange(address, format!("{head}content-length: 9999999999\r\n\r\n").as_bytes()).await;
    assert!(declared.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&declared));

    // Chunks declare no length, so they are counted as they come.
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.expect("room to write");
    let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; 0x10_0000], b"\r\n"].concat();
    let mut written = 0;
    while written < 64 && stream.write_all(&chunk).await.is_ok() {
        written += 1;
    }
    assert!(written < 64, "64 MiB were taken");
    assert!(start.elapsed() < Duration::from_secs(5));
    world.still_serves().await;
}
