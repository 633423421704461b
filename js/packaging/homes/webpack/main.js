import * as api from 'kafka-shore';

import { run } from './page.js';

run(api);
