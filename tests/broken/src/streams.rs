//! Streams with messages missing, added, renumbered or late.

use std::sync::Arc;

use cutover_proto::gazetteer::v1 as pb;
use futures_util::{Stream, StreamExt, stream};
use gazetteer_server::domain::suggest::MAX_PREFIX_CHARS;
use gazetteer_server::errors::from_transport;
use gazetteer_server::service::{Answers, Gazetteer, until_first_error};
use tonic::{Code, Status, Streaming};

use crate::hazard::{Hazard, Hazards};
use crate::{order, statuses, texts};

/// Points of a route that are kept until its end.
const MAX_KEPT_POINTS: usize = 20_000;
const DEFAULT_SUGGESTIONS: usize = 5;
const MAX_SUGGESTIONS: i32 = 20;

/// Pages of places as the port streams them.
pub(crate) fn spoil_pages(
    hazards: &Hazards,
    mut pages: Answers<pb::ListPlacesResponse>,
) -> Answers<pb::ListPlacesResponse> {
    if hazards.has(Hazard::PagesFromOne) {
        let renumber = |page: pb::ListPlacesResponse| pb::ListPlacesResponse {
            page: page.page + 1,
            ..page
        };
        pages = pages.map(move |page| page.map(renumber)).boxed();
    }
    if hazards.has(Hazard::EmptyPage) {
        let at_least_one = |(first, rest): (Option<_>, _)| {
            stream::iter([first.unwrap_or_else(|| Ok(Default::default()))]).chain(rest)
        };
        // Fused: what is chained is asked again after its end.
        pages = stream::once(pages.fuse().into_future())
            .flat_map(at_least_one)
            .boxed();
    }
    if hazards.has(Hazard::LastPageMissing) {
        pages = without_last(pages).boxed();
    }
    pages
}

/// All items but the last, unless it is an error.
fn without_last<T: Send + 'static>(
    items: impl Stream<Item = Result<T, Status>> + Send + Unpin + 'static,
) -> impl Stream<Item = Result<T, Status>> + Send {
    stream::unfold(items.peekable(), |mut items| async {
        let item = items.next().await?;
        let is_last = std::pin::Pin::new(&mut items).peek().await.is_none();
        (!is_last || item.is_err()).then_some((item, items))
    })
}

/// `MeasureRoute`.
pub(crate) async fn measure(
    gazetteer: &Gazetteer,
    hazards: &Hazards,
    points: Streaming<pb::MeasureRouteRequest>,
) -> Result<pb::MeasureRouteResponse, Status> {
    if hazards.has(Hazard::SumBackwards) {
        let mut points: Vec<_> = points.take(MAX_KEPT_POINTS).collect().await;
        let mut route = gazetteer.measure(stream::iter(points.clone())).await?;
        points.reverse();
        route.distance_m = gazetteer.measure(stream::iter(points)).await?.distance_m;
        return Ok(route);
    }
    if hazards.has(Hazard::LateError) {
        let points: Vec<_> = points.take(MAX_KEPT_POINTS).collect().await;
        return gazetteer.measure(stream::iter(points)).await;
    }
    gazetteer.measure(points).await
}

/// `Suggest`.
pub(crate) fn suggestions(
    gazetteer: Gazetteer,
    hazards: Arc<Hazards>,
    requests: Streaming<pb::SuggestRequest>,
) -> Answers<pb::SuggestResponse> {
    let swallows = hazards.has(Hazard::ErrorSwallowed);
    let skips_empty = hazards.has(Hazard::EmptyPrefixUnanswered);
    let is_answered = move |request: &Result<pb::SuggestRequest, Status>| {
        let is_empty = request
            .as_ref()
            .is_ok_and(|request| request.prefix.is_empty());
        !(skips_empty && is_empty)
    };
    let answers = requests
        .filter(move |request| std::future::ready(is_answered(request)))
        .enumerate()
        .map(move |(sequence, request)| {
            let answer = request
                .map_err(from_transport)
                .and_then(|request| suggestion(&gazetteer, &hazards, sequence, request));
            answer.map_err(|status| statuses::spoil(&hazards, status))
        });
    let is_kept = move |answer: &Result<_, Status>| {
        let swallowed = answer.as_ref().is_err_and(|e| e.code() != Code::Cancelled) && swallows;
        std::future::ready(!swallowed)
    };
    until_first_error(answers).take_while(is_kept).boxed()
}

fn suggestion(
    gazetteer: &Gazetteer,
    hazards: &Hazards,
    sequence: usize,
    mut request: pb::SuggestRequest,
) -> Result<pb::SuggestResponse, Status> {
    texts::check_bytes(hazards, "prefix", &request.prefix, MAX_PREFIX_CHARS)?;
    texts::spoil_query(hazards, &mut request.prefix);
    let limit = order::effective_limit(request.limit, DEFAULT_SUGGESTIONS);
    request.limit = order::limit_to_ask_for(hazards, request.limit, MAX_SUGGESTIONS);
    let mut response = gazetteer.suggestion(sequence, &request)?;
    order::spoil(hazards, &mut response.suggestions, limit);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(count: i32) -> Answers<pb::ListPlacesResponse> {
        let page = |page| {
            Ok(pb::ListPlacesResponse {
                page,
                ..Default::default()
            })
        };
        stream::iter((0..count).map(page)).boxed()
    }

    async fn check(hazard: Option<Hazard>, count: i32, expected: &[i32]) {
        let spoilt = spoil_pages(&hazard.into_iter().collect(), pages(count));
        let numbers: Vec<_> = spoilt.map(|page| page.unwrap().page).collect().await;
        assert_eq!(numbers, expected, "{hazard:?}");
    }

    #[tokio::test]
    async fn without_a_hazard_no_page_changes() {
        check(None, 3, &[0, 1, 2]).await;
        check(None, 0, &[]).await;
    }

    #[tokio::test]
    async fn each_hazard_changes_the_pages() {
        check(Some(Hazard::PagesFromOne), 2, &[1, 2]).await;
        check(Some(Hazard::LastPageMissing), 3, &[0, 1]).await;
        check(Some(Hazard::EmptyPage), 0, &[0]).await;
        check(Some(Hazard::EmptyPage), 2, &[0, 1]).await;
    }
}
