//! Long polls: who is woken by what, and who is not held up.

use super::*;

/// A poll of up to twenty seconds, by a caller of its own; its messages and how long it took.
async fn poll(world: Arc<World>, wish: Value) -> (Vec<String>, Duration) {
    let start = Instant::now();
    let mut wish = wish;
    wish["WaitTimeSeconds"] = json!(20);
    (world.bodies(wish).await, start.elapsed())
}

/// Whether a wait took as long as it should, give or take what a busy machine adds.
fn about(found: Duration, expected_ms: u64) -> bool {
    let expected = Duration::from_millis(expected_ms);
    found >= expected && found < expected + Duration::from_secs(2)
}

#[tokio::test]
async fn a_poll_wakes_when_a_message_comes_or_its_delay_ends() {
    let world = Arc::new(world().await);
    let waiting = tokio::spawn(poll(Arc::clone(&world), json!({})));
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.send("now").await;
    let (bodies, took) = waiting.await.expect("no panic");
    assert!(bodies == ["now"] && about(took, 200), "{bodies:?} after {took:?}");

    let waiting = tokio::spawn(poll(Arc::clone(&world), json!({})));
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.on_queue("SendMessage", json!({ "MessageBody": "late", "DelaySeconds": 1 })).await;
    let (bodies, took) = waiting.await.expect("no panic");
    assert!(bodies == ["late"] && about(took, 1_000), "{bodies:?} after {took:?}");
}

#[tokio::test]
async fn a_poll_that_began_before_a_lease_wakes_at_its_end() {
    let world = Arc::new(world().await);
    let wish = json!({ "VisibilityTimeout": 1 });
    let pollers: Vec<_> = (0..3).map(|_| tokio::spawn(poll(Arc::clone(&world), wish.clone()))).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.send("passed on").await;
    let mut times = Vec::new();
    for poller in pollers {
        let (bodies, took) = poller.await.expect("no panic");
        assert_eq!(bodies, ["passed on"]);
        times.push(took);
    }
    times.sort();
    assert!(about(times[0], 90) && about(times[1], 1_050) && about(times[2], 2_050), "{times:?}");
}

#[tokio::test]
async fn many_polls_share_what_one_batch_brings() {
    let world = Arc::new(world().await);
    let wish = json!({ "MaxNumberOfMessages": 1 });
    let pollers: Vec<_> = (0..10).map(|_| tokio::spawn(poll(Arc::clone(&world), wish.clone()))).collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let entries: Vec<Value> =
        (0..10).map(|id| json!({ "Id": id.to_string(), "MessageBody": id.to_string() })).collect();
    world.on_queue("SendMessageBatch", json!({ "Entries": entries })).await;
    let mut bodies = Vec::new();
    for poller in pollers {
        let (found, took) = poller.await.expect("no panic");
        assert!(found.len() == 1 && about(took, 100), "{found:?} after {took:?}");
        bodies.extend(found);
    }
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
}

#[tokio::test]
async fn many_polls_share_what_comes_back_at_one_time() {
    let world = Arc::new(world().await);
    let entry = |id: usize| json!({ "Id": id.to_string(), "MessageBody": id.to_string(), "DelaySeconds": 1 });
    let entries: Vec<Value> = (0..5).map(entry).collect();
    let wish = json!({ "MaxNumberOfMessages": 1 });
    let pollers: Vec<_> = (0..5).map(|_| tokio::spawn(poll(Arc::clone(&world), wish.clone()))).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.on_queue("SendMessageBatch", json!({ "Entries": entries })).await;
    for poller in pollers {
        let (found, took) = poller.await.expect("no panic");
        assert!(found.len() == 1 && about(took, 1_050), "{found:?} after {took:?}");
    }
}

#[tokio::test]
async fn a_poll_on_a_queue_that_is_deleted_ends_with_the_error() {
    let world = Arc::new(world().await);
    let waiting = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.ask("ReceiveMessage", &json!({ "QueueUrl": world.queue_url, "WaitTimeSeconds": 20 })).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.on_queue("DeleteQueue", json!({})).await;
    let answer = tokio::time::timeout(Duration::from_secs(2), waiting).await.expect("at once").expect("no panic");
    assert_eq!(answer.json()["__type"], "com.amazonaws.sqs#QueueDoesNotExist");
}

#[tokio::test]
async fn a_slow_request_and_a_long_poll_hold_up_nobody() {
    let world = world().await;
    let mut slow = TcpStream::connect(world.address()).await.expect("the server listens");
    slow.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").await.expect("room to write");
    let polls = 50;
    let mut pollers = Vec::new();
    world.sqs.create_queue("empty", &[]).expect("a queue");
    for _ in 0..polls {
        let mut stream = TcpStream::connect(world.address()).await.expect("the server listens");
        let body = json!({ "QueueUrl": "empty", "WaitTimeSeconds": 20 }).to_string();
        let bytes = request_bytes(world.address(), "AmazonSQS.ReceiveMessage", body.as_bytes());
        stream.write_all(&bytes).await.expect("room to write");
        pollers.push(stream);
    }
    let start = Instant::now();
    world.still_serves().await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn stopping_ends_long_polls_at_once_with_an_empty_answer() {
    let world = world().await;
    let mut stream = TcpStream::connect(world.address()).await.expect("the server listens");
    let body = json!({ "QueueUrl": "q", "WaitTimeSeconds": 20 }).to_string();
    let bytes = request_bytes(world.address(), "AmazonSQS.ReceiveMessage", body.as_bytes());
    stream.write_all(&bytes).await.expect("room to write");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    world.sqs.stop().await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"{}"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_poll_whose_caller_is_gone_takes_nothing() {
    let world = world().await;
    for _ in 0..5 {
        let mut stream = TcpStream::connect(world.address()).await.expect("the server listens");
        let body = json!({ "QueueUrl": "q", "WaitTimeSeconds": 20 }).to_string();
        let bytes = request_bytes(world.address(), "AmazonSQS.ReceiveMessage", body.as_bytes());
        stream.write_all(&bytes).await.expect("room to write");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.send("for the living").await;
    assert_eq!(world.counts(), (1, 0, 0));
    assert_eq!(world.bodies(json!({ "WaitTimeSeconds": 5 })).await, ["for the living"]);
}
