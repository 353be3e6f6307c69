//! What the receiver takes, and what it turns away.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use super::*;

fn export(spans: u64) -> Vec<u8> {
    export_of([1; 16], spans)
}

fn export_of(trace_id: [u8; 16], spans: u64) -> Vec<u8> {
    let now = Clock::start().unix_ns();
    let span = |n: u64| Span {
        trace_id: trace_id.to_vec(),
        span_id: (n + 1).to_be_bytes().to_vec(),
        start_time_unix_nano: now,
        end_time_unix_nano: now,
        ..Span::default()
    };
    let scope = ScopeSpans {
        spans: (0..spans).map(span).collect(),
        ..Default::default()
    };
    let resource_spans = vec![ResourceSpans {
        scope_spans: vec![scope],
        ..Default::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn receiver(queue: usize) -> (Receiver, mpsc::Receiver<Batch>) {
    let (batches, waiting) = mpsc::channel(queue);
    (
        Receiver::new(batches, Arc::default(), Clock::start()),
        waiting,
    )
}

#[test]
fn a_full_queue_takes_nothing_until_there_is_room() {
    let (receiver, mut waiting) = receiver(1);
    let message = export(1);
    receiver.take(Signal::Traces, &message).unwrap();
    let refused = receiver.take(Signal::Traces, &message);
    assert_eq!(refused, Err(Refused::Busy));
    assert_eq!(receiver.counters.spans.load(Ordering::Relaxed), 1);
    drop(waiting.try_recv().unwrap());
    receiver.take(Signal::Traces, &message).unwrap();
    waiting.close();
    let refused = receiver.take(Signal::Traces, &message);
    assert_eq!(refused, Err(Refused::Closing));
}

#[test]
fn spans_that_wait_are_bounded_in_bytes_and_given_back_when_they_are_taken() {
    let (receiver, mut waiting) = receiver(QUEUE);
    let message = export(10_000);
    let mut batches = 0;
    let refused = loop {
        match receiver.take(Signal::Traces, &message) {
            Ok(_) => batches += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, Refused::Busy);
    assert!(batches < QUEUE / 4, "{batches}");
    let bytes = MAX_WAITING_BYTES - receiver.waiting.available_permits();
    assert!(bytes >= batches * 10_000 * size_of::<Received>());
    while waiting.try_recv().is_ok() {}
    assert_eq!(receiver.waiting.available_permits(), MAX_WAITING_BYTES);
    receiver.take(Signal::Traces, &message).unwrap();
}

#[test]
fn what_is_no_export_is_refused_and_a_bad_span_is_told() {
    let (receiver, mut waiting) = receiver(QUEUE);
    let refused = receiver.take(Signal::Traces, b"\x0a\x05hello!");
    assert!(matches!(refused, Err(Refused::Malformed(_))), "{refused:?}");
    assert!(waiting.try_recv().is_err());

    // Two exports, one after another, are one; the ids of the second are zeros.
    let mut bad = export(1);
    bad.extend(export_of([0; 16], 1));
    let answer = receiver.take(Signal::Traces, &bad).unwrap();
    let answer = ExportTraceServiceResponse::decode(answer).unwrap();
    assert_eq!(answer.partial_success.unwrap().rejected_spans, 1);
    assert_eq!(waiting.try_recv().unwrap().spans.len(), 1);
    assert_eq!(receiver.counters.rejected.load(Ordering::Relaxed), 1);
}

#[test]
fn exports_without_anything_take_no_place() {
    let (receiver, mut waiting) = receiver(1);
    for signal in [Signal::Traces, Signal::Metrics] {
        for _ in 0..3 {
            let answer = receiver.take(signal, &[]).unwrap();
            assert!(answer.is_empty(), "no partial success");
        }
    }
    assert!(waiting.try_recv().is_err());
}
