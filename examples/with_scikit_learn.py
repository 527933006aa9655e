"""A classifier that scikit-learn takes for one of its own: in pipelines, grid searches and cross-validation."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

import tinygrad_np as tg
from tinygrad_np import nn, optim
from tinygrad_np.data import Loader, digits
from tinygrad_np.training import fit


class MLPClassifier(ClassifierMixin, BaseEstimator):
    """A multilayer perceptron, trained with Adam on the cross-entropy.

    Parameters
    ----------
    hidden : tuple of int
        The width of each hidden layer.
    learning_rate : float
    epochs, batch_size : int
    random_state : int
        The same number gives the same classifier.
    """

    def __init__(self, hidden=(64,), learning_rate=0.01, epochs=30, batch_size=32, random_state=0):
        self.hidden = hidden
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X, y):
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"a classifier needs two classes or more; y has one class, {self.classes_[0]!r}")
        state = tg.random.generator().bit_generator.state
        tg.manual_seed(self.random_state)
        try:
            layers = []
            width = X.shape[1]
            for units in self.hidden:
                layers += [nn.Dense(width, units), nn.ReLU()]
                width = units
            self.model_ = nn.Sequential(*layers, nn.Dense(width, len(self.classes_)))
            optimiser = optim.Adam(self.model_.parameters(), lr=self.learning_rate)
            loader = Loader(X, labels, batch_size=self.batch_size, shuffle=True, seed=self.random_state)
            self.history_ = fit(
                self.model_, loader, loss=nn.cross_entropy, optimiser=optimiser, epochs=self.epochs, progress=False
            )
        finally:
            tg.random.generator().bit_generator.state = state  # others draw as if this had not happened
        return self

    def predict_proba(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        with tg.no_grad():
            return tg.functions.softmax(self.model_(X)).data

    def predict(self, X):
        classes = self.predict_proba(X).argmax(axis=1)  # first, for it says so if there was no fit
        return self.classes_[classes]


def main() -> None:
    data = digits()
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(epochs=10))
    scores = cross_val_score(pipeline, data.train_images.reshape(-1, 64), data.train_labels, cv=3)
    print(f"{data.name}: accuracy {scores.mean():.2%} in three-fold cross-validation")


if __name__ == "__main__":
    main()
