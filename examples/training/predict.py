# Asks the model about one applicant: income, score, debts.
import json
import pickle
import sys

with open("model.pickle", "rb") as f:
    model = pickle.load(f)
row = [float(v) for v in sys.argv[1:]]
chance = float(model.predict_proba([row])[0][1])
print(json.dumps({"granted": chance > 0.5, "chance": round(chance, 3)}))
