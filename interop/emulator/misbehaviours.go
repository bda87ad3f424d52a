package main

var misbehaviours []misbehaviour
