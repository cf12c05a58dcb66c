'use strict';

exports.greet = (who) => `Hello, ${who}!`;
