//! The contract's methods: each parses its request, asks the domain or the store, and puts the
//! answer on the wire.

mod request;
mod response;

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use cutover_proto::gazetteer::v1 as pb;
use cutover_proto::gazetteer::v1::gazetteer_service_server::GazetteerService;
use futures_util::{Stream, StreamExt, stream};
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::domain::index::Index;
use crate::domain::place::PlaceId;
use crate::domain::route::RouteMeter;
use crate::domain::search::{self, Scratch};
use crate::domain::suggest;
use crate::errors;
use crate::store::{Store, StoreError};

/// Tells the time of a visit.
pub type Clock = fn() -> SystemTime;

/// A stream of answers.
pub type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

thread_local! {
    /// Searches of one thread come one after the other, so they share their buffers.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The gazetteer; clones share everything.
#[derive(Clone, Debug)]
pub struct Gazetteer {
    index: Arc<Index>,
    store: Store,
    clock: Clock,
}

impl Gazetteer {
    /// A gazetteer with the index of the same database that `store` is.
    pub fn new(index: Index, store: Store, clock: Clock) -> Self {
        Self {
            index: Arc::new(index),
            store,
            clock,
        }
    }

    /// What is answered from memory.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What is answered from the database.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// `GetPlace`.
    pub fn place(&self, request: pb::GetPlaceRequest) -> Result<pb::GetPlaceResponse, Status> {
        let id = request::get_place(&request)?;
        let read = self.store.place(id).map_err(unavailable)?;
        read.map(Into::into)
            .ok_or_else(|| errors::place_not_found(id))
    }

    /// `SearchPlaces`.
    pub fn search(
        &self,
        request: &pb::SearchPlacesRequest,
    ) -> Result<pb::SearchPlacesResponse, Status> {
        let query = request::search_places(request)?;
        let results = SCRATCH.with_borrow_mut(|scratch| {
            let found = search::search(&self.index, &query, scratch);
            found
                .iter()
                .map(|found| response::search_result(&self.index, found))
                .collect()
        });
        Ok(pb::SearchPlacesResponse {
            results,
            search_id: search_id(),
        })
    }

    /// `FindNearest`.
    pub fn nearest(
        &self,
        request: &pb::FindNearestRequest,
    ) -> Result<pb::FindNearestResponse, Status> {
        let query = request::find_nearest(request)?;
        let near = self.index.nearest(&query);
        let results = near
            .iter()
            .map(|near| response::near_place(&self.index, near))
            .collect();
        Ok(pb::FindNearestResponse { results })
    }

    /// `ListPlaces`.
    pub fn list(
        &self,
        request: &pb::ListPlacesRequest,
    ) -> Result<Answers<pb::ListPlacesResponse>, Status> {
        let pages = self.store.list(request::list_places(request)?);
        let pages = stream::unfold(pages, |mut pages| async {
            let page = pages.recv().await?;
            Some((page.map_err(unavailable), pages))
        });
        Ok(Box::pin(pages.enumerate().map(|(number, page)| {
            let number = i32::try_from(number).map_err(|_| errors::database_unavailable())?;
            Ok(response::list_places(page?, number))
        })))
    }

    /// `MeasureRoute`, over any stream of points.
    pub async fn measure<R>(&self, mut points: R) -> Result<pb::MeasureRouteResponse, Status>
    where
        R: Stream<Item = Result<pb::MeasureRouteRequest, Status>> + Unpin + Send,
    {
        let mut meter = RouteMeter::default();
        while let Some(point) = points.next().await {
            let point = point.map_err(errors::from_transport)?;
            meter.add(request::measure_route(&point, &meter)?);
        }
        Ok(response::measure_route(&meter))
    }

    /// `Suggest`, over any stream of requests.
    pub fn suggestions<R>(&self, requests: R) -> Answers<pb::SuggestResponse>
    where
        R: Stream<Item = Result<pb::SuggestRequest, Status>> + Send + 'static,
    {
        let gazetteer = self.clone();
        let answers = requests.enumerate().map(move |(sequence, request)| {
            gazetteer.suggestion(sequence, &request.map_err(errors::from_transport)?)
        });
        until_first_error(answers)
    }

    /// The answer to the request of `Suggest` with the index `sequence`.
    pub fn suggestion(
        &self,
        sequence: usize,
        request: &pb::SuggestRequest,
    ) -> Result<pb::SuggestResponse, Status> {
        let (prefix, limit) = request::suggest(request)?;
        let suggested = suggest::suggest(&self.index, &prefix, limit);
        response::suggest(&self.index, sequence, &suggested)
    }

    /// `RecordVisit`.
    pub async fn visit(
        &self,
        request: pb::RecordVisitRequest,
    ) -> Result<pb::RecordVisitResponse, Status> {
        let id: PlaceId = request::record_visit(&request)?;
        let since_epoch = (self.clock)()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now_ms = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        let visit = self.store.record_visit(id, request.visitor, now_ms).await;
        let visit = visit
            .map_err(unavailable)?
            .ok_or_else(|| errors::place_not_found(id))?;
        Ok(pb::RecordVisitResponse {
            visit_id: visit.id,
            visit_count: visit.count,
        })
    }
}

#[async_trait]
impl GazetteerService for Gazetteer {
    type ListPlacesStream = Answers<pb::ListPlacesResponse>;
    type SuggestStream = Answers<pb::SuggestResponse>;

    async fn get_place(
        &self,
        request: Request<pb::GetPlaceRequest>,
    ) -> Result<Response<pb::GetPlaceResponse>, Status> {
        self.place(request.into_inner()).map(Response::new)
    }

    async fn search_places(
        &self,
        request: Request<pb::SearchPlacesRequest>,
    ) -> Result<Response<pb::SearchPlacesResponse>, Status> {
        self.search(request.get_ref()).map(Response::new)
    }

    async fn find_nearest(
        &self,
        request: Request<pb::FindNearestRequest>,
    ) -> Result<Response<pb::FindNearestResponse>, Status> {
        self.nearest(request.get_ref()).map(Response::new)
    }

    async fn list_places(
        &self,
        request: Request<pb::ListPlacesRequest>,
    ) -> Result<Response<Self::ListPlacesStream>, Status> {
        self.list(request.get_ref()).map(Response::new)
    }

    async fn measure_route(
        &self,
        request: Request<Streaming<pb::MeasureRouteRequest>>,
    ) -> Result<Response<pb::MeasureRouteResponse>, Status> {
        self.measure(request.into_inner()).await.map(Response::new)
    }

    async fn suggest(
        &self,
        request: Request<Streaming<pb::SuggestRequest>>,
    ) -> Result<Response<Self::SuggestStream>, Status> {
        Ok(Response::new(self.suggestions(request.into_inner())))
    }

    async fn record_visit(
        &self,
        request: Request<pb::RecordVisitRequest>,
    ) -> Result<Response<pb::RecordVisitResponse>, Status> {
        self.visit(request.into_inner()).await.map(Response::new)
    }
}

/// An error ends a stream: nothing comes after it.
pub fn until_first_error<T: Send + 'static>(
    answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
) -> Answers<T> {
    Box::pin(answers.scan(false, |ended, answer| {
        let before = std::mem::replace(ended, answer.is_err());
        std::future::ready((!before).then_some(answer))
    }))
}

/// Logs what failed; the client only hears that something did.
fn unavailable(error: StoreError) -> Status {
    tracing::error!(
        error = &error as &dyn std::error::Error,
        "the database failed"
    );
    errors::database_unavailable()
}

/// 32 random hexadecimal digits.
fn search_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
