//! Properties of searches, with scripted evaluators.
