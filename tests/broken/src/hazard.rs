//! The hazards by name. To add one: a variant here with what the porter did wrong, and its doing
//! in the module of its kind.

use std::collections::HashSet;

use clap::ValueEnum;

/// One thing that a porter did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Hazard {
    // Numbers.
    /// SearchPlaces: scores are rounded to 2 decimals.
    ScoreRounding,
    /// SearchPlaces: the population counts by its natural logarithm.
    NaturalLogarithm,
    /// FindNearest: distances go through single precision.
    SinglePrecision,
    /// FindNearest, MeasureRoute: the sphere's radius is 6,371,000 m.
    RoundRadius,
    /// MeasureRoute: legs are summed from the last to the first.
    SumBackwards,
    /// GetPlace: coordinates are put together from degrees and rest, whose sign is lost.
    RemainderSign,
    /// SearchPlaces: populations are kept in 24 bits.
    NarrowPopulation,

    // Texts.
    /// SearchPlaces, Suggest: queries are lower-cased instead of case folded (ß, final sigma).
    LowerCasing,
    /// SearchPlaces, Suggest: letters with marks are not decomposed, so the marks stay.
    MarksKept,
    /// SearchPlaces, Suggest, RecordVisit: lengths are limited in bytes, not code points.
    LengthInBytes,
    /// SearchPlaces, ListPlaces: lower-case country codes are accepted.
    CountryInAnyCase,

    // Order.
    /// SearchPlaces, FindNearest, Suggest: ties are in order of falling id.
    TiesByIdFalling,
    /// SearchPlaces, FindNearest, Suggest: results are cut at the limit before they are sorted.
    CutBeforeSort,
    /// SearchPlaces, FindNearest, Suggest: one result too few.
    OneTooFew,
    /// GetPlace: alternate names are sorted.
    NamesSorted,
    /// GetPlace: alternate names come out of a set, in its order.
    NamesFromASet,

    // Fields.
    /// SearchPlaces: an unset min_similarity counts as the least.
    UnsetIsLeast,
    /// SearchPlaces, FindNearest: limit 0 is taken for 20.
    OtherDefaultLimit,
    /// SearchPlaces: matched_name is always the main name.
    MainNameMatched,
    /// GetPlace: alternate names that occur twice are given once.
    NamesDistinct,
    /// GetPlace: visit_count is not filled in.
    VisitsForgotten,
    /// FindNearest: max_distance_m is taken for kilometres.
    DistanceInKilometres,

    // Streams.
    /// ListPlaces: the last message is missing.
    LastPageMissing,
    /// ListPlaces: pages are numbered from 1.
    PagesFromOne,
    /// ListPlaces: where there is no place, an empty message is sent.
    EmptyPage,
    /// ListPlaces: page_size is ignored.
    PageSizeIgnored,
    /// Suggest: an empty prefix gets no answer instead of an empty one.
    EmptyPrefixUnanswered,
    /// Suggest: a bad request ends the stream as if all were well.
    ErrorSwallowed,
    /// MeasureRoute: a bad point is only complained of at the end of the stream.
    LateError,

    // Statuses.
    /// All: NOT_FOUND becomes UNKNOWN.
    NotFoundAsUnknown,
    /// All: INVALID_ARGUMENT becomes OUT_OF_RANGE.
    InvalidAsOutOfRange,
    /// All: errors have no details.
    DetailsMissing,
    /// All: of several broken constraints only the first is told.
    FirstViolationOnly,

    // Effects: what answers don't show, traces or time do.
    /// GetPlace: each alternate name is read by a statement of its own.
    NamesOneByOne,
    /// GetPlace: visits are counted by reading them all.
    VisitsReadToCount,
    /// RecordVisit: the visit is written twice.
    DoubleWrite,
    /// RecordVisit: the visit is answered, but not written.
    WriteMissing,
    /// GetPlace: every 50th call fails with UNAVAILABLE.
    Flaky,
    /// GetPlace: every 200th call fails with UNAVAILABLE.
    SeldomFlaky,
    /// FindNearest: 20 ms slower.
    Slow,
    /// FindNearest: every 100th call takes 300 ms more.
    SlowTail,
    /// SearchPlaces: each call leaves 64 KiB behind.
    Leak,
}

impl Hazard {
    /// What a demonstration shows where no hazard is chosen.
    pub(crate) const DEMO: &[Self] = &[
        Self::ScoreRounding,
        Self::LowerCasing,
        Self::TiesByIdFalling,
        Self::LastPageMissing,
        Self::NamesOneByOne,
        Self::NotFoundAsUnknown,
    ];
}

/// The hazards that a server has.
#[derive(Debug, Default)]
pub(crate) struct Hazards(HashSet<Hazard>);

impl Hazards {
    /// Whether `hazard` is one of them.
    pub(crate) fn has(&self, hazard: Hazard) -> bool {
        self.0.contains(&hazard)
    }

    /// Whether any of `hazards` is.
    pub(crate) fn has_any(&self, hazards: &[Hazard]) -> bool {
        hazards.iter().any(|&hazard| self.has(hazard))
    }
}

impl FromIterator<Hazard> for Hazards {
    fn from_iter<I: IntoIterator<Item = Hazard>>(hazards: I) -> Self {
        Self(hazards.into_iter().collect())
    }
}
