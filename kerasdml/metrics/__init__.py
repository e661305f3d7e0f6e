"""Metrics of a whole set of embeddings, computed exactly and in chunks."""

from kerasdml.metrics.calibration import Calibration, CutPoint, calibrate
from kerasdml.metrics.centroid_accuracy import centroid_accuracy
from kerasdml.metrics.clustering import cluster_agreement, clustering
from kerasdml.metrics.evaluate import evaluate
from kerasdml.metrics.gaussian_mixture import gaussian_mixture
from kerasdml.metrics.kmeans import kmeans
from kerasdml.metrics.map_at_all import map_at_all, voc_map_at_all
from kerasdml.metrics.map_at_k import map_at_k
from kerasdml.metrics.map_at_r import map_at_r
from kerasdml.metrics.mrr import mrr
from kerasdml.metrics.multi_label import multi_label_retrieval
from kerasdml.metrics.ndcg import graded_ndcg_at_k, ndcg_at_k
from kerasdml.metrics.open_set import open_set
from kerasdml.metrics.pair_scores import pair_scores
from kerasdml.metrics.precision import precision_at_k
from kerasdml.metrics.r_precision import r_precision
from kerasdml.metrics.recall import recall_at_k
from kerasdml.metrics.retrieval import lone_queries, retrieval
from kerasdml.metrics.share_found import share_found_at_k
from kerasdml.metrics.verification import fold_accuracy, roc_curve, verification

__all__ = [
    "Calibration",
    "CutPoint",
    "calibrate",
    "centroid_accuracy",
    "cluster_agreement",
    "clustering",
    "evaluate",
    "fold_accuracy",
    "gaussian_mixture",
    "graded_ndcg_at_k",
    "kmeans",
    "lone_queries",
    "map_at_all",
    "map_at_k",
    "map_at_r",
    "mrr",
    "multi_label_retrieval",
    "ndcg_at_k",
    "open_set",
    "pair_scores",
    "precision_at_k",
    "r_precision",
    "recall_at_k",
    "retrieval",
    "roc_curve",
    "share_found_at_k",
    "verification",
    "voc_map_at_all",
]
