//! Faults on purpose, the service's own clock, and the count of calls.

use super::*;

#[tokio::test]
async fn a_refusal_before_the_effect_leaves_nothing_behind() {
    let world = world().await;
    world.inject("sqs:SendMessage:throttle,count=1");
    let body = json!({ "QueueUrl": world.queue_url, "MessageBody": "x" });
    let throttled = named("com.amazonaws.sqs#RequestThrottled", "RequestThrottled;Sender", 403);
    assert_eq!(error(&world.ask("SendMessage", &body).await), throttled);
    world.inject("sqs:Send*:error,count=1");
    let failed = named("com.amazon.coral.service#InternalFailure", "InternalFailure;Receiver", 500);
    assert_eq!(error(&world.ask("SendMessage", &body).await), failed);
    world.inject("sqs:SendMessage:drop,count=1");
    assert!(world.send_raw("AmazonSQS.SendMessage", body.to_string().as_bytes()).await.is_none());
    assert_eq!(world.counts(), (0, 0, 0));
    world.still_serves().await;
}

#[tokio::test]
async fn an_answer_lost_after_the_effect_leaves_the_effect() {
    let world = world().await;
    let body = json!({ "QueueUrl": world.queue_url, "MessageBody": "x" }).to_string();
    world.inject("sqs:SendMessage:drop,when=after,count=1");
    assert!(world.send_raw("AmazonSQS.SendMessage", body.as_bytes()).await.is_none());
    assert_eq!(world.counts(), (1, 0, 0));
    world.inject("sqs:ReceiveMessage:error,when=after,count=1");
    let wish = json!({ "QueueUrl": world.queue_url });
    assert_eq!(world.ask("ReceiveMessage", &wish).await.status, 500);
    assert_eq!(world.counts(), (0, 1, 0));
}

#[tokio::test]
async fn a_dark_service_resets_its_callers_and_comes_back_with_its_messages() {
    let world = world().await;
    world.send("kept").await;
    let mut poller = TcpStream::connect(world.address()).await.expect("the server listens");
    let body = json!({ "QueueUrl": "q", "WaitTimeSeconds": 20, "VisibilityTimeout": 0 }).to_string();
    world.sqs.create_queue("empty", &[]).expect("a queue");
    let bytes =
        request_bytes(world.address(), "AmazonSQS.ReceiveMessage", body.replace("\"q\"", "\"empty\"").as_bytes());
    poller.write_all(&bytes).await.expect("room to write");
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.inject("sqs:*:dark");
    let mut answer = Vec::new();
    let _ = poller.read_to_end(&mut answer).await;
    assert_eq!(answer, b"", "an open long poll is cut without a word");
    assert!(world.send_raw("AmazonSQS.ListQueues", b"{}").await.is_none());
    world.faults.clear();
    assert_eq!(world.bodies(json!({})).await, ["kept"]);
}

#[tokio::test]
async fn the_services_own_clock_shows_in_dates_stamps_and_signatures() {
    let world = world().await;
    world.service().set_clock_offset(3_600_000);
    let headers = [
        ("x-amz-target", "AmazonSQS.ListQueues"),
        ("x-amz-date", &date(SystemTime::now())),
        ("authorization", CREDENTIAL),
    ];
    let answer = request(world.address(), "POST", "/", &headers, b"{}").await.expect("an answer");
    assert_eq!(answer.status, 403, "signed an hour ago, as the service sees it");
    world.send("x").await;
    let message = world.on_queue("ReceiveMessage", json!({ "MessageSystemAttributeNames": ["SentTimestamp"] })).await;
    let sent_ms: u64 =
        message["Messages"][0]["Attributes"]["SentTimestamp"].as_str().expect("a stamp").parse().expect("a number");
    let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis();
    assert!(u128::from(sent_ms) > now_ms + 3_500_000);
}

#[tokio::test]
async fn every_call_is_counted_under_its_action_and_nothing_under_a_strangers_word() {
    let world = world().await;
    world.send("x").await;
    world.send_raw("AmazonSQS.Nonsense", b"{}").await;
    world.send_raw("Rubbish.More", b"{}").await;
    let counts = world.faults.counts();
    let counts: Vec<(&str, &str, u64)> =
        counts.iter().map(|one| (one.operation.as_str(), one.status.as_str(), one.count)).collect();
    assert_eq!(counts, [("SendMessage", "200", 1), ("unknown", "400", 2)]);
}

#[tokio::test]
async fn a_permission_can_be_missing() {
    let world = world().await;
    world.inject("sqs:SendMessage:denied,count=1");
    let body = json!({ "QueueUrl": world.queue_url, "MessageBody": "x" });
    let denied = named("com.amazon.coral.service#AccessDeniedException", "AccessDenied;Sender", 403);
    assert_eq!(error(&world.ask("SendMessage", &body).await), denied);
    assert_eq!(world.counts(), (0, 0, 0));
    world.still_serves().await;
}
