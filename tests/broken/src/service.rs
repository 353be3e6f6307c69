//! The contract's methods: the real ones, with each hazard put before or after.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cutover_proto::gazetteer::v1 as pb;
use cutover_proto::gazetteer::v1::gazetteer_service_server::GazetteerService;
use gazetteer_server::domain::place::PlaceId;
use gazetteer_server::domain::search::MAX_QUERY_CHARS;
use gazetteer_server::errors;
use gazetteer_server::service::{Answers, Gazetteer};
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::hazard::{Hazard, Hazards};
use crate::{effects, fields, numbers, order, statuses, streams, texts};

pub(crate) const MAX_VISITOR_CHARS: usize = 128;
const MAX_RESULTS: i32 = 100;
const DEFAULT_RESULTS: usize = 10;
const SELDOM_FLAKY_EVERY: u64 = 200;
const SLOWER_BY: Duration = Duration::from_millis(20);
const SLOW_EVERY: u64 = 100;
const SLOW_TAIL: Duration = Duration::from_millis(300);
const LEAK_BYTES: usize = 64 << 10;

/// The gazetteer with hazards.
#[derive(Debug)]
pub(crate) struct Broken {
    inner: Gazetteer,
    hazards: Arc<Hazards>,
    flaky_every: u64,
    places_asked_for: AtomicU64,
    positions_asked_for: AtomicU64,
}

impl Broken {
    /// `flaky_every` says which calls fail where the hazard is that some do; from 1.
    pub(crate) fn new(inner: Gazetteer, hazards: Hazards, flaky_every: u64) -> Self {
        Self {
            inner,
            hazards: Arc::new(hazards),
            flaky_every,
            places_asked_for: AtomicU64::new(0),
            positions_asked_for: AtomicU64::new(0),
        }
    }

    async fn place(&self, request: pb::GetPlaceRequest) -> Result<pb::GetPlaceResponse, Status> {
        let call = self.places_asked_for.fetch_add(1, Ordering::Relaxed) + 1;
        let fails = |hazard, every| self.hazards.has(hazard) && call.is_multiple_of(every);
        if fails(Hazard::Flaky, self.flaky_every) || fails(Hazard::SeldomFlaky, SELDOM_FLAKY_EVERY)
        {
            return Err(errors::database_unavailable());
        }
        let mut response = match PlaceId::new(request.id) {
            Some(id) if effects::reads_otherwise(&self.hazards) => {
                effects::place(&self.inner, &self.hazards, id)?
            }
            _ => self.inner.place(request)?,
        };
        fields::spoil_place(&self.hazards, &mut response);
        Ok(response)
    }

    fn search(
        &self,
        mut request: pb::SearchPlacesRequest,
    ) -> Result<pb::SearchPlacesResponse, Status> {
        let hazards = &self.hazards;
        if hazards.has(Hazard::Leak) {
            // Without the box nobody reads it, and the optimiser leaves it out.
            black_box(vec![1_u8; LEAK_BYTES].leak());
        }
        texts::check_bytes(hazards, "query", &request.query, MAX_QUERY_CHARS)?;
        texts::spoil_query(hazards, &mut request.query);
        texts::spoil_country(hazards, &mut request.country_code);
        fields::spoil_search(hazards, &mut request);
        let limit = order::effective_limit(request.limit, DEFAULT_RESULTS);
        request.limit = order::limit_to_ask_for(hazards, request.limit, MAX_RESULTS);
        let mut response = self.inner.search(&request)?;
        numbers::spoil_scores(hazards, &mut response.results);
        order::spoil(hazards, &mut response.results, limit);
        fields::spoil_results(hazards, &mut response.results);
        Ok(response)
    }

    async fn nearest(
        &self,
        mut request: pb::FindNearestRequest,
    ) -> Result<pb::FindNearestResponse, Status> {
        let hazards = &self.hazards;
        if hazards.has(Hazard::Slow) {
            tokio::time::sleep(SLOWER_BY).await;
        }
        let call = self.positions_asked_for.fetch_add(1, Ordering::Relaxed) + 1;
        if hazards.has(Hazard::SlowTail) && call.is_multiple_of(SLOW_EVERY) {
            tokio::time::sleep(SLOW_TAIL).await;
        }
        fields::spoil_nearest(hazards, &mut request);
        let limit = order::effective_limit(request.limit, DEFAULT_RESULTS);
        request.limit = order::limit_to_ask_for(hazards, request.limit, MAX_RESULTS);
        let mut response = self.inner.nearest(&request)?;
        numbers::spoil_distances(hazards, &mut response.results);
        order::spoil(hazards, &mut response.results, limit);
        Ok(response)
    }

    fn list(
        &self,
        mut request: pb::ListPlacesRequest,
    ) -> Result<Answers<pb::ListPlacesResponse>, Status> {
        texts::spoil_country(&self.hazards, &mut request.country_code);
        if self.hazards.has(Hazard::PageSizeIgnored) {
            request.page_size = 0;
        }
        Ok(streams::spoil_pages(
            &self.hazards,
            self.inner.list(&request)?,
        ))
    }

    async fn visit(
        &self,
        request: pb::RecordVisitRequest,
    ) -> Result<pb::RecordVisitResponse, Status> {
        texts::check_bytes(
            &self.hazards,
            "visitor",
            &request.visitor,
            MAX_VISITOR_CHARS,
        )?;
        if self.hazards.has(Hazard::WriteMissing)
            && let Some(response) = effects::unwritten_visit(&self.inner, &request)?
        {
            return Ok(response);
        }
        let response = self.inner.visit(request.clone()).await?;
        if self.hazards.has(Hazard::DoubleWrite) {
            self.inner.visit(request).await?;
        }
        Ok(response)
    }

    fn answer<T>(&self, result: Result<T, Status>) -> Result<Response<T>, Status> {
        match result {
            Ok(answer) => Ok(Response::new(answer)),
            Err(status) => Err(statuses::spoil(&self.hazards, status)),
        }
    }
}

#[async_trait]
impl GazetteerService for Broken {
    type ListPlacesStream = Answers<pb::ListPlacesResponse>;
    type SuggestStream = Answers<pb::SuggestResponse>;

    async fn get_place(
        &self,
        request: Request<pb::GetPlaceRequest>,
    ) -> Result<Response<pb::GetPlaceResponse>, Status> {
        self.answer(self.place(request.into_inner()).await)
    }

    async fn search_places(
        &self,
        request: Request<pb::SearchPlacesRequest>,
    ) -> Result<Response<pb::SearchPlacesResponse>, Status> {
        self.answer(self.search(request.into_inner()))
    }

    async fn find_nearest(
        &self,
        request: Request<pb::FindNearestRequest>,
    ) -> Result<Response<pb::FindNearestResponse>, Status> {
        self.answer(self.nearest(request.into_inner()).await)
    }

    async fn list_places(
        &self,
        request: Request<pb::ListPlacesRequest>,
    ) -> Result<Response<Self::ListPlacesStream>, Status> {
        self.answer(self.list(request.into_inner()))
    }

    async fn measure_route(
        &self,
        request: Request<Streaming<pb::MeasureRouteRequest>>,
    ) -> Result<Response<pb::MeasureRouteResponse>, Status> {
        let measured = streams::measure(&self.inner, &self.hazards, request.into_inner()).await;
        self.answer(measured.map(|mut route| {
            numbers::spoil_route(&self.hazards, &mut route);
            route
        }))
    }

    async fn suggest(
        &self,
        request: Request<Streaming<pb::SuggestRequest>>,
    ) -> Result<Response<Self::SuggestStream>, Status> {
        let hazards = Arc::clone(&self.hazards);
        let answers = streams::suggestions(self.inner.clone(), hazards, request.into_inner());
        Ok(Response::new(answers))
    }

    async fn record_visit(
        &self,
        request: Request<pb::RecordVisitRequest>,
    ) -> Result<Response<pb::RecordVisitResponse>, Status> {
        self.answer(self.visit(request.into_inner()).await)
    }
}
