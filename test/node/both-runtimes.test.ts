import { agentPullSuite } from "../suites/agent-pull.suite.ts";
import { badInputSuite } from "../suites/bad-input.suite.ts";
import { declaredSuite } from "../suites/declared.suite.ts";
import { hubSuite } from "../suites/hub.suite.ts";
import { outgoingSuite } from "../suites/outgoing.suite.ts";
import { routesSuite } from "../suites/routes.suite.ts";
import { controlForThisFile } from "../support/control-under-test.ts";
import { startNodeControl } from "../support/node-control.ts";

const control = controlForThisFile(startNodeControl);
routesSuite(control);
badInputSuite(control);
outgoingSuite(control);
hubSuite(control);
declaredSuite(control);
agentPullSuite(control);
