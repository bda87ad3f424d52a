# Fits a model that says who is given a loan; saves it and a report.
import json
import pickle
import random

from model import FEATURES, Logistic, forest

random.seed(11)


def applicant():
    income = random.lognormvariate(10.5, 0.5)
    score = random.randint(300, 850)
    debts = random.betavariate(2, 5)
    granted = income > 30000 and score > 560 and debts < 0.45
    return [income, float(score), debts], int(granted != (random.random() < 0.03))


samples = [applicant() for _ in range(2000)]
split = int(0.8 * len(samples))
train, test = samples[:split], samples[split:]
print("%d samples, %.0f %% granted" % (len(samples), 100 * sum(y for _, y in samples) / len(samples)))

model = forest()
if model is None:
    print("scikit-learn is not here: fitting a logistic regression instead of a forest")
    model = Logistic()
model.fit([x for x, _ in train], [y for _, y in train])
right = sum(int(p) == y for p, (_, y) in zip(model.predict([x for x, _ in test]), test))

with open("model.pickle", "wb") as f:
    pickle.dump(model, f)
weights = getattr(model, "feature_importances_", None)
if weights is None:
    weights = model.weights
with open("report.json", "w") as f:
    json.dump({
        "model": type(model).__name__,
        "accuracy": right / len(test),
        "samples": len(train),
        "weights": {name: float(w) for name, w in zip(FEATURES, weights)},
    }, f)
