import math

FEATURES = ["income", "score", "debts"]


def forest():
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError:
        return None
    return RandomForestClassifier(n_estimators=50, max_depth=8, random_state=11)


class Logistic:
    """Logistic regression by gradient descent."""

    def fit(self, rows, labels, rounds=300, rate=0.5):
        n = len(rows)
        columns = list(zip(*rows))
        self.mean = [sum(c) / n for c in columns]
        self.spread = [math.sqrt(sum((v - m) ** 2 for v in c) / n) or 1 for c, m in zip(columns, self.mean)]
        self.weights, self.bias = [0.0] * len(columns), 0.0
        scaled = [self.scale(r) for r in rows]
        for _ in range(rounds):
            errors = [self.chance(x) - y for x, y in zip(scaled, labels)]
            for i in range(len(self.weights)):
                self.weights[i] -= rate * sum(e * x[i] for e, x in zip(errors, scaled)) / n
            self.bias -= rate * sum(errors) / n

    def scale(self, row):
        return [(v - m) / s for v, m, s in zip(row, self.mean, self.spread)]

    def chance(self, scaled):
        return 1 / (1 + math.exp(-self.bias - sum(w * v for w, v in zip(self.weights, scaled))))

    def predict_proba(self, rows):
        chances = [self.chance(self.scale(r)) for r in rows]
        return [(1 - c, c) for c in chances]

    def predict(self, rows):
        return [int(c > 0.5) for _, c in self.predict_proba(rows)]
